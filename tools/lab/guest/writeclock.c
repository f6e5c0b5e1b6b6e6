// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * writeclock [--hugepages] TWINS ZEROS
 *
 * Memory of so many pages that every other instance has too, each with contents of its own, and so many zero
 * pages. Says "ready PID START LENGTH"; then, line by line on its input:
 *
 *     twins N [PAUSE]  writes the next N of the first kind, PAUSE microseconds apart
 *     zeros N [PAUSE]  the same of the zero pages
 *     own N            writes N pages that were written already
 *     drop N           gives the next N of the first kind back to the kernel
 *
 * and answers "wrote N P50 P99 MEAN", what the writes took in nanoseconds, or "dropped N".
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, NS_PER_S = 1000000000 };

static const unsigned long huge_bytes = 2UL << 20;

struct clockwork {
	char *memory; /* the twins, then the zero pages */
	unsigned long twins, zeros;
	unsigned long next_twin, next_zero; /* of each kind: not touched yet */
	unsigned *ns; /* one for each page */
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
	return x ^ (x >> 33);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static void pages_fill(const struct clockwork *work)
{
	for (unsigned long page = 0; page < work->twins; page++) {
		uint64_t *words = (uint64_t *)(void *)(work->memory + page * PAGE);

		for (uint64_t i = 0; i < WORDS; i++)
			words[i] = mix((page + 1) * WORDS + i);
	}
	for (unsigned long page = work->twins; page < work->twins + work->zeros; page++) {
		/* Each is a page of its own, not the kernel's zero page. */
		*(volatile char *)(work->memory + page * PAGE) = 1;
		*(volatile char *)(work->memory + page * PAGE) = 0;
	}
}

static char *memory_map(unsigned long bytes, bool hugepages)
{
	char *start = mmap(NULL, bytes + huge_bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *aligned;

	if (start == MAP_FAILED)
		fail("mmap");
	aligned = start + -(uintptr_t)start % huge_bytes;
	if (aligned > start)
		(void)munmap(start, (size_t)(aligned - start));
	if (aligned < start + huge_bytes)
		(void)munmap(aligned + bytes, (size_t)(start + huge_bytes - aligned));
	(void)madvise(aligned, bytes, hugepages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return aligned;
}

static unsigned page_write(char *page)
{
	const uint64_t before = now_ns();

	/* No two pages are written alike, here or in another instance: none is folded again. */
	*(volatile uint64_t *)(void *)(page + PAGE / 2) = before ^ (uint64_t)getpid() << 48;
	return (unsigned)(now_ns() - before);
}

static int ns_compare(const void *one, const void *other)
{
	const unsigned a = *(const unsigned *)one, b = *(const unsigned *)other;

	return (a > b) - (a < b);
}

static void report(unsigned *ns, unsigned long count)
{
	double sum = 0;

	qsort(ns, count, sizeof(*ns), ns_compare);
	for (unsigned long i = 0; i < count; i++)
		sum += ns[i];
	printf("wrote %lu %u %u %.0f\n", count, count ? ns[count / 2] : 0,
		count ? ns[count - 1 - count / 100] : 0, count ? sum / (double)count : 0);
}

/* Pages first .. first + count - 1, of which there are `end`. */
static unsigned long pages_write(
	struct clockwork *work, unsigned long first, unsigned long end, unsigned long count, long pause_us)
{
	const struct timespec pause = { pause_us / 1000000, pause_us % 1000000 * 1000 };

	if (count > end - first)
		count = end - first;
	for (unsigned long i = 0; i < count; i++) {
		work->ns[i] = page_write(work->memory + (first + i) * PAGE);
		if (pause_us)
			(void)nanosleep(&pause, NULL);
	}
	report(work->ns, count);
	return count;
}

static void pages_drop(struct clockwork *work, unsigned long count)
{
	if (count > work->twins - work->next_twin)
		count = work->twins - work->next_twin;
	if (madvise(work->memory + work->next_twin * PAGE, count * PAGE, MADV_DONTNEED) < 0)
		fail("madvise");
	work->next_twin += count;
	printf("dropped %lu\n", count);
}

static void command_run(struct clockwork *work, const char *line)
{
	unsigned long count = 0;
	char word[16] = "";
	long pause_us = 0;

	(void)sscanf(line, "%15s %lu %ld", word, &count, &pause_us);
	if (!strcmp(word, "twins"))
		work->next_twin += pages_write(work, work->next_twin, work->twins, count, pause_us);
	else if (!strcmp(word, "zeros"))
		work->next_zero += pages_write(
			work, work->next_zero, work->twins + work->zeros, count, pause_us);
	else if (!strcmp(word, "own"))
		(void)pages_write(work, 0, work->next_twin, count, 0);
	else if (!strcmp(word, "drop"))
		pages_drop(work, count);
	else
		printf("what?\n");
}

int main(int argc, char **argv)
{
	const bool hugepages = argc > 1 && !strcmp(argv[1], "--hugepages");
	struct clockwork work = { 0 };
	unsigned long bytes;
	char line[64];

	if (argc != 3 + hugepages) {
		fprintf(stderr, "writeclock [--hugepages] TWINS ZEROS\n");
		return 2;
	}
	work.twins = strtoul(argv[1 + hugepages], NULL, 10);
	work.zeros = strtoul(argv[2 + hugepages], NULL, 10);
	work.next_zero = work.twins;
	bytes = (work.twins + work.zeros) * PAGE;
	work.ns = calloc(work.twins + work.zeros + 1, sizeof(*work.ns));
	if (!work.ns)
		fail("calloc");
	work.memory = memory_map(bytes, hugepages);
	pages_fill(&work);
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d %p %lu\n", getpid(), (void *)work.memory, bytes);
	while (fgets(line, sizeof(line), stdin))
		command_run(&work, line);
	return 0;
}
