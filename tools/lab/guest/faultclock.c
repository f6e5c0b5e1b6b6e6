// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * faultclock MIB SEED [still]
 *
 * Memory in huge pages, of which half the pages are twins of what every instance holds, a fifth are zero
 * and the rest its own; and, in the same address space, one page that it drops and touches again all the
 * time: how long each of these page faults takes. With "still" it only holds the memory. Says "ready PID START LENGTH". On its input:
 *
 *     reset     forgets what it has measured, and says "reset"
 *     report    says FAULTS P50 P99.9 WORST, in nanoseconds
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE      4096u
#define HUGE      (UINT64_C(2) << 20)
#define PER_LOOK  1000
#define NS_PER_S  1000000000
/* Eight classes for each power of two: a percentile is right to an eighth. */
#define CLASS_BITS 3
#define CLASSES    (64 << CLASS_BITS)

static uint64_t faults[CLASSES], worst, count;

static unsigned class_of(uint64_t ns)
{
	unsigned power;

	if (ns < 1 << CLASS_BITS)
		return (unsigned)ns;
	power = 63u - (unsigned)__builtin_clzll(ns);
	return (power << CLASS_BITS) + (unsigned)(ns >> (power - CLASS_BITS) & 7);
}

/* The upper end of it. */
static uint64_t class_ns(unsigned number)
{
	const unsigned power = number >> CLASS_BITS;

	if (power < CLASS_BITS)
		return number;
	return ((UINT64_C(9) + (number & 7)) << (power - CLASS_BITS)) - 1;
}

static uint64_t percentile_ns(double share)
{
	uint64_t below = 0;

	for (unsigned i = 0; i < CLASSES; i++) {
		below += faults[i];
		if ((double)below >= share * (double)count)
			return class_ns(i);
	}
	return worst;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void *map(uint64_t bytes)
{
	void *memory = mmap(
		NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return memory;
}

static uint8_t *fill(uint64_t bytes, uint64_t seed)
{
	uint8_t *memory = map(bytes + HUGE);

	memory += (HUGE - (uint64_t)(uintptr_t)memory % HUGE) % HUGE;
	(void)madvise(memory, bytes, MADV_HUGEPAGE);
	for (uint64_t page = 0; page < bytes / PAGE; page++) {
		uint64_t *words = (uint64_t *)(void *)(memory + page * PAGE);
		const uint64_t kind = page % 10;
		uint64_t state = (page + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ (kind < 5 ? 0 : seed);

		for (unsigned i = 0; i < PAGE / 8; i++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			words[i] = kind >= 8 ? 0 : state;
		}
	}
	return memory;
}

static void measure(volatile uint8_t *probe)
{
	for (unsigned i = 0; i < PER_LOOK; i++) {
		uint64_t begin, took;

		(void)madvise((void *)(uintptr_t)probe, PAGE, MADV_DONTNEED);
		begin = now_ns();
		*probe = 1;
		took = now_ns() - begin;
		faults[class_of(took)]++;
		count++;
		if (took > worst)
			worst = took;
	}
}

/* False: nobody listens any more. */
static int answer(void)
{
	char line[64];
	const ssize_t length = read(STDIN_FILENO, line, sizeof line - 1);

	if (length <= 0)
		return 0;
	line[length] = '\0';
	if (!strncmp(line, "reset", 5)) {
		memset(faults, 0, sizeof faults);
		worst = count = 0;
		puts("reset");
	} else {
		printf("%llu %llu %llu %llu\n", (unsigned long long)count,
			(unsigned long long)percentile_ns(0.5),
			(unsigned long long)percentile_ns(0.999), (unsigned long long)worst);
	}
	fflush(stdout);
	return 1;
}

int main(int argc, char **argv)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	uint64_t bytes;
	uint8_t *memory, *probe;

	if (argc < 3) {
		fprintf(stderr, "usage: %s MIB SEED [still]\n", argv[0]);
		return 2;
	}
	bytes = strtoull(argv[1], NULL, 10) << 20;
	memory = fill(bytes, strtoull(argv[2], NULL, 10) << 32);
	probe = map(PAGE);
	printf("ready %d %llx %llu\n", (int)getpid(), (unsigned long long)(uintptr_t)memory,
		(unsigned long long)bytes);
	fflush(stdout);
	for (;;) {
		if (argc == 3)
			measure(probe);
		if (poll(&input, 1, argc == 3 ? 0 : -1) == 1 && !answer())
			return 0;
	}
}
