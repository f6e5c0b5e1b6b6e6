/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What faultclock and kvm_faultclock have in common: memory to be folded, the times of page faults,
 * and how they are asked for.
 *
 * Of the memory, which is in huge pages, half the pages are twins of what every instance holds, a
 * fifth are zero and the rest its own. Understood on the input:
 *
 *     reset     forgets what was measured, and says "reset"
 *     report    says FAULTS P50 P99.9 WORST P99.9 WORST, in nanoseconds; the last two without the time
 *               for which the thread could have run and had no CPU: others were on it, or the hypervisor
 *               under this machine did not run it
 */
#ifndef PAGEFOLD_LAB_FAULT_TIMES_H
#define PAGEFOLD_LAB_FAULT_TIMES_H

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define FAULT_PAGE     4096u
#define FAULT_HUGE     (UINT64_C(2) << 20)
#define FAULT_NS_PER_S 1000000000
/* Eight classes for each power of two: a percentile is right to an eighth. */
#define FAULT_CLASS_BITS 3
#define FAULT_CLASSES    (64 << FAULT_CLASS_BITS)

struct fault_times {
	uint64_t classes[FAULT_CLASSES], worst, count;
};

struct fault_clock {
	uint64_t begin_ns, queued_ns, cpu_ns;
	long blocked; /* how often */
};

static struct fault_times faults, faults_with_cpu;

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

static inline uint64_t fault_percentile_ns(const struct fault_times *times, double share)
{
	uint64_t below = 0;

	for (unsigned i = 0; i < FAULT_CLASSES; i++) {
		below += times->classes[i];
		if ((double)below >= share * (double)times->count)
			return fault_class_ns(i);
	}
	return times->worst;
}

static inline uint64_t fault_clock_ns(clockid_t clock)
{
	struct timespec now;

	(void)clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * FAULT_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline uint64_t fault_now_ns(void)
{
	return fault_clock_ns(CLOCK_MONOTONIC);
}

/* How long this thread has waited on a run queue: the second number of schedstat. 0 where the kernel does not
 * count it (CONFIG_SCHED_INFO). */
static inline uint64_t fault_queued_ns(void)
{
	static int schedstat = -1;
	char text[64], *end;
	ssize_t length;

	if (schedstat < 0)
		schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	length = pread(schedstat, text, sizeof text - 1, 0);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	(void)strtoull(text, &end, 10);
	return strtoull(end, NULL, 10);
}

static inline long fault_blocked(void)
{
	struct rusage usage;

	(void)getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

static inline struct fault_clock fault_begin(void)
{
	struct fault_clock began = { .queued_ns = fault_queued_ns(), .blocked = fault_blocked() };

	began.cpu_ns = fault_clock_ns(CLOCK_THREAD_CPUTIME_ID);
	began.begin_ns = fault_now_ns();
	return began;
}

/* What of it was no want of a CPU. Who never slept did nothing but compute, and the kernel takes what the
 * hypervisor kept from it off that (CONFIG_PARAVIRT_TIME_ACCOUNTING); of who slept only the queue is known. */
static inline uint64_t fault_with_cpu_ns(const struct fault_clock *began, uint64_t ns)
{
	const uint64_t cpu_ns = fault_clock_ns(CLOCK_THREAD_CPUTIME_ID) - began->cpu_ns;
	const uint64_t queued_ns = fault_queued_ns() - began->queued_ns;

	if (fault_blocked() == began->blocked)
		return cpu_ns < ns ? cpu_ns : ns;
	return ns > queued_ns ? ns - queued_ns : 0;
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
		memset(&faults, 0, sizeof faults);
		memset(&faults_with_cpu, 0, sizeof faults_with_cpu);
		puts("reset");
	} else {
		printf("%llu %llu %llu %llu %llu %llu\n", (unsigned long long)faults.count,
			(unsigned long long)fault_percentile_ns(&faults, 0.5),
			(unsigned long long)fault_percentile_ns(&faults, 0.999),
			(unsigned long long)faults.worst,
			(unsigned long long)fault_percentile_ns(&faults_with_cpu, 0.999),
			(unsigned long long)faults_with_cpu.worst);
	}
	fflush(stdout);
	return 1;
}

static inline void fault_note(struct fault_times *times, uint64_t ns)
{
	times->classes[fault_class(ns)]++;
	times->count++;
	if (ns > times->worst)
		times->worst = ns;
}

/* Of one that began and has just ended, after so many nanoseconds. */
static inline void fault_took(struct fault_clock began, uint64_t ns)
{
	fault_note(&faults, ns);
	fault_note(&faults_with_cpu, fault_with_cpu_ns(&began, ns));
}

static inline void fault_say_ready(const void *memory, uint64_t bytes)
{
	printf("ready %d %llx %llu\n", (int)getpid(), (unsigned long long)(uintptr_t)memory,
		(unsigned long long)bytes);
	fflush(stdout);
}

#endif
