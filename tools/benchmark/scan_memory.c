// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How fast another process's memory is read and fingerprinted by the daemon's own scanner, with one
 * thread and with two, beside process_vm_readv() that does nothing with what it has read. They take
 * turns; each one's seconds, round by round, are printed as one JSON object.
 *
 *     scan_memory small|huge MIB ROUNDS
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/crew.h"

/* In whole extents, and in pieces that stay in the second-level cache, as the scanner reads. */
#define PIECE_BYTES ((size_t)256 << 10)

#define THREADS     2u
#define MIB_MOST    (64ul << 10)
#define ROUNDS_MOST 100ul

struct bench {
	struct host_root root;
	struct process process;
	struct pagemap pagemap;
	struct scan_source source;
	struct crew crew;
	struct extent *extents;
	size_t count;
	uint64_t start;
	uint8_t *buffer; /* EXTENT_BYTES */
	int error;
};

/* ---- whose memory it is ---- */

/* Does not return: holds the memory until its parent ends it, or ends. */
static void child_run(int said, size_t bytes, int advice)
{
	uint64_t state = UINT64_C(0x9e3779b97f4a7c15), start;
	uint64_t *words;
	char *memory;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	memory = mmap(NULL, bytes + EXTENT_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		_exit(1);
	start = ((uint64_t)(uintptr_t)memory + EXTENT_BYTES - 1) / EXTENT_BYTES * EXTENT_BYTES;
	words = (uint64_t *)(void *)(memory + (start - (uint64_t)(uintptr_t)memory));
	if (madvise(words, bytes, advice) < 0)
		_exit(1);
	for (size_t i = 0; i < bytes / sizeof(*words); i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		words[i] = state;
	}
	if (write(said, &start, sizeof(start)) != (ssize_t)sizeof(start))
		_exit(1);
	for (;;)
		(void)pause();
}

static pid_t child_start(size_t bytes, int advice, uint64_t *ret_start)
{
	int ends[2];
	pid_t pid;
	ssize_t length;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0)
		child_run(ends[1], bytes, advice);
	(void)close(ends[1]);
	length = pid < 0 ? -1 : read(ends[0], ret_start, sizeof(*ret_start));
	(void)close(ends[0]);
	return length == (ssize_t)sizeof(*ret_start) ? pid : -1;
}

/* ---- what is measured ---- */

static bool scan_work(void *context, struct scanner *scanner, size_t index)
{
	struct bench *bench = context;
	const int error = scan_extent(scanner, &bench->source, &bench->extents[index]);

	if (error)
		bench->error = error;
	return !error;
}

static double scan_seconds(struct bench *bench, unsigned threads)
{
	const uint64_t begin = clock_monotonic_ns();

	crew_run(&bench->crew, threads, bench->count, scan_work, bench);
	return (double)(clock_monotonic_ns() - begin) / 1e9;
}

static double readv_seconds(struct bench *bench, size_t bytes)
{
	const uint64_t begin = clock_monotonic_ns(),
		       end = bench->start + bench->count * EXTENT_BYTES;

	for (uint64_t at = bench->start; at < end; at += bytes) {
		const struct iovec local = { bench->buffer, bytes };
		/* An address of the other process, which is never followed here. */
		const struct iovec remote = { (void *)(uintptr_t)at, bytes };

		if (process_vm_readv(bench->process.id.pid, &local, 1, &remote, 1, 0) !=
			(ssize_t)bytes)
			bench->error = -errno;
	}
	return (double)(clock_monotonic_ns() - begin) / 1e9;
}

static void list_print(const char *name, const double *seconds, size_t rounds)
{
	printf("\"%s_seconds\": [", name);
	for (size_t i = 0; i < rounds; i++)
		printf("%s%.6f", i ? ", " : "", seconds[i]);
	printf("], ");
}

static void bench_rounds(struct bench *bench, size_t rounds)
{
	double whole[ROUNDS_MOST], pieces[ROUNDS_MOST], one[ROUNDS_MOST], two[ROUNDS_MOST];
	size_t huge = 0;

	/* The first allocates fingerprints, and wakes the CPU. */
	(void)scan_seconds(bench, THREADS);
	for (size_t i = 0; i < rounds; i++) {
		whole[i] = readv_seconds(bench, EXTENT_BYTES);
		pieces[i] = readv_seconds(bench, PIECE_BYTES);
		one[i] = scan_seconds(bench, 1);
		two[i] = scan_seconds(bench, THREADS);
	}
	for (size_t i = 0; i < bench->count; i++)
		huge += bench->extents[i].huge;
	printf("{");
	list_print("readv_extents", whole, rounds);
	list_print("readv_pieces", pieces, rounds);
	list_print("one_thread", one, rounds);
	list_print("two_threads", two, rounds);
	printf("\"pages\": %zu, \"huge_pages\": %zu, \"cpus\": %u}\n", bench->count * EXTENT_PAGES,
		huge, crew_cpus());
}

static int bench_init(struct bench *bench, pid_t child, size_t extents)
{
	int error = host_root_open("", &bench->root);

	if (!error)
		error = process_open(&bench->root, child, &bench->process);
	if (!error)
		error = pagemap_open(&bench->root, child, true, &bench->pagemap);
	if (!error)
		error = crew_init(&bench->crew);
	if (error)
		return error;
	/* As of a VM that nobody has folded anything of: its first visit is the one that reads all.
	 */
	bench->source = (struct scan_source){ .root = &bench->root,
		.process = &bench->process,
		.pagemap = &bench->pagemap,
		.trust = TRUST_ALL };
	bench->extents = calloc(extents, sizeof(*bench->extents));
	bench->buffer = aligned_alloc(EXTENT_BYTES, EXTENT_BYTES);
	if (!bench->extents || !bench->buffer)
		return -ENOMEM;
	bench->count = extents;
	for (size_t i = 0; i < extents; i++) {
		bench->extents[i].start = bench->start + i * EXTENT_BYTES;
		bench->extents[i].end = bench->extents[i].start + EXTENT_BYTES;
	}
	return 0;
}

/* The process ends with this: what it has is freed with it. */
int main(int argc, char **argv)
{
	static struct bench bench;
	const unsigned long mib = argc == 4 ? strtoul(argv[2], NULL, 10) : 0;
	const unsigned long rounds = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	pid_t child;

	if (mib < 2 || mib > MIB_MOST || rounds < 1 || rounds > ROUNDS_MOST ||
		(strcmp(argv[1], "small") && strcmp(argv[1], "huge"))) {
		(void)fprintf(stderr, "usage: scan_memory small|huge MIB ROUNDS\n");
		return 2;
	}
	child = child_start(mib / 2 * EXTENT_BYTES,
		strcmp(argv[1], "huge") ? MADV_NOHUGEPAGE : MADV_HUGEPAGE, &bench.start);
	if (child < 0) {
		perror("scan_memory: no memory to read");
		return 1;
	}
	bench.error = bench_init(&bench, child, mib / 2);
	if (!bench.error)
		bench_rounds(&bench, rounds);
	if (bench.error)
		(void)fprintf(stderr, "scan_memory: %s\n", strerror(-bench.error));
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
	return bench.error ? 1 : 0;
}
