/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What faultclock and kvm_faultclock have in common: memory to be folded, the times of page faults,
 * and how they are asked for.
 *
 * Of the memory, which is in huge pages, half the pages are twins of what every instance holds, a
 * fifth are zero and the rest its own. Understood on the input:
 *
 *     reset     forgets what was measured, and says "reset"
 *     report    says FAULTS P50 P99.9 WORST, in nanoseconds
 */
#ifndef PAGEFOLD_LAB_FAULT_TIMES_H
#define PAGEFOLD_LAB_FAULT_TIMES_H

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define FAULT_PAGE     4096u
#define FAULT_HUGE     (UINT64_C(2) << 20)
#define FAULT_NS_PER_S 1000000000
/* Eight classes for each power of two: a percentile is right to an eighth. */
#define FAULT_CLASS_BITS 3
#define FAULT_CLASSES    (64 << FAULT_CLASS_BITS)

static uint64_t fault_classes[FAULT_CLASSES], fault_worst, fault_count;

static inline unsigned fault_class(uint64_t ns)
{
	unsigned power;

	if (ns < 1 << FAULT_CLASS_BITS)
		return (unsigned)ns;
	power = 63u - (unsigned)__builtin_clzll(ns);
	return (power << FAULT_CLASS_BITS) + (unsigned)(ns >> (power - FAULT_CLASS_BITS) & 7);
}

/* The upper end of it. */
static inline uint64_t fault_class_ns(unsigned number)
{
	const unsigned power = number >> FAULT_CLASS_BITS;

	if (power < FAULT_CLASS_BITS)
		return number;
	return ((UINT64_C(9) + (number & 7)) << (power - FAULT_CLASS_BITS)) - 1;
}

static inline uint64_t fault_percentile_ns(double share)
{
	uint64_t below = 0;

	for (unsigned i = 0; i < FAULT_CLASSES; i++) {
		below += fault_classes[i];
		if ((double)below >= share * (double)fault_count)
			return fault_class_ns(i);
	}
	return fault_worst;
}

static inline uint64_t fault_now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * FAULT_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline void *memory_map(uint64_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return memory;
}

static inline uint8_t *memory_fill(uint64_t bytes, uint64_t seed)
{
	uint8_t *memory = memory_map(bytes + FAULT_HUGE);

	memory += (FAULT_HUGE - (uint64_t)(uintptr_t)memory % FAULT_HUGE) % FAULT_HUGE;
	(void)madvise(memory, bytes, MADV_HUGEPAGE);
	for (uint64_t page = 0; page < bytes / FAULT_PAGE; page++) {
		uint64_t *words = (uint64_t *)(void *)(memory + page * FAULT_PAGE);
		const uint64_t kind = page % 10;
		uint64_t state = (page + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (kind < 5 ? 0 : seed);

		for (unsigned i = 0; i < FAULT_PAGE / 8; i++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			words[i] = kind >= 8 ? 0 : state;
		}
	}
	return memory;
}

/* False: nobody listens any more. */
static inline int fault_answer(void)
{
	char line[64];
	const ssize_t length = read(STDIN_FILENO, line, sizeof line - 1);

	if (length <= 0)
		return 0;
	line[length] = '\0';
	if (!strncmp(line, "reset", 5)) {
		memset(fault_classes, 0, sizeof fault_classes);
		fault_worst = fault_count = 0;
		puts("reset");
	} else {
		printf("%llu %llu %llu %llu\n", (unsigned long long)fault_count,
			(unsigned long long)fault_percentile_ns(0.5),
			(unsigned long long)fault_percentile_ns(0.999),
			(unsigned long long)fault_worst);
	}
	fflush(stdout);
	return 1;
}

static inline void fault_took(uint64_t ns)
{
	fault_classes[fault_class(ns)]++;
	fault_count++;
	if (ns > fault_worst)
		fault_worst = ns;
}

static inline void fault_say_ready(const void *memory, uint64_t bytes)
{
	printf("ready %d %llx %llu\n", (int)getpid(), (unsigned long long)(uintptr_t)memory,
		(unsigned long long)bytes);
	fflush(stdout);
}

#endif
