// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * prefork WORKERS INHERITED_MIB OWN_MIB
 *
 * A server as many are: the parent prepares INHERITED_MIB of memory (a quarter zero pages, a
 * quarter twins of each other, half unlike any other), forks, and each worker adds OWN_MIB (half
 * twins, the same in every worker, half its own) and overwrites the second half of its first
 * inherited quarter of unlike pages with its own. What workers still share by fork is no saving of
 * anybody's.
 *
 * Says "worker PID INHERITED_START OWN_START" for each, then "ready PID INHERITED_START LENGTH",
 * and ends with its standard input. "write N" makes each worker rewrite its first N own pages and
 * is answered with "wrote N"; "check" has each worker check all its memory: "checked ERRORS".
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, WORDS = PAGE_BYTES / 8, WORKERS_MAX = 64, TWIN_CONTENTS = 32 };

/* What a page must hold follows from its number and from who wrote it last. */
struct memory {
	uint64_t *words;
	size_t pages;
	uint64_t *keys; /* one a page; 0: zero page */
};

struct worker {
	pid_t pid;
	int requests, answers; /* the parent's ends */
};

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static uint64_t word_of(uint64_t key, size_t index)
{
	return key ? mix(key + index) : 0;
}

static uint64_t random_key(void)
{
	uint64_t key;

	if (getrandom(&key, sizeof key, 0) != sizeof key)
		_exit(2);
	return key | 1;
}

static void page_write(struct memory *memory, size_t page, uint64_t key)
{
	volatile uint64_t *words = memory->words + page * WORDS;

	memory->keys[page] = key;
	for (size_t i = 0; i < WORDS; i++)
		words[i] = word_of(key, i);
}

static unsigned memory_errors(const struct memory *memory)
{
	unsigned errors = 0;

	for (size_t page = 0; page < memory->pages; page++)
		for (size_t i = 0; i < WORDS; i++)
			errors += ((volatile uint64_t *)memory->words)[page * WORDS + i] !=
				  word_of(memory->keys[page], i);
	return errors;
}

static void memory_map(struct memory *memory, size_t pages)
{
	memory->pages = pages;
	memory->words = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* Shared with nobody's pages of interest, and too regular to be anybody's twin. */
	memory->keys = calloc(pages, sizeof *memory->keys);
	if (memory->words == MAP_FAILED || !memory->keys) {
		perror("prefork");
		_exit(2);
	}
}

static uint64_t twin_key(size_t page, uint64_t family)
{
	return mix(family + page % TWIN_CONTENTS) | 1;
}

static void inherited_fill(struct memory *memory)
{
	uint64_t unlike = random_key();
	size_t quarter = memory->pages / 4;

	for (size_t page = 0; page < memory->pages; page++) {
		if (page < quarter)
			page_write(memory, page, 0);
		else if (page < 2 * quarter)
			page_write(memory, page, twin_key(page, 1000));
		else
			page_write(memory, page, mix(unlike + page) | 1);
	}
}

static void worker_fill(struct memory *inherited, struct memory *own)
{
	uint64_t unlike = random_key();
	size_t quarter = inherited->pages / 4;

	for (size_t page = 2 * quarter + quarter / 2; page < 3 * quarter; page++)
		page_write(inherited, page, mix(unlike + page) | 1);
	for (size_t page = 0; page < own->pages; page++)
		page_write(own, page,
			page < own->pages / 2 ? twin_key(page, 2000)
					      : mix(unlike + inherited->pages + page) | 1);
}

static void worker_serve(int requests, int answers, struct memory *inherited, struct memory *own)
{
	unsigned number;

	/* A number of pages to write, or 0 to check. */
	while (read(requests, &number, sizeof number) == sizeof number) {
		unsigned answer = number;

		for (size_t page = 0; page < number && page < own->pages; page++)
			page_write(own, page, random_key());
		if (number == 0)
			answer = memory_errors(inherited) + memory_errors(own);
		if (write(answers, &answer, sizeof answer) != sizeof answer)
			break;
	}
}

static void worker_run(int requests, int answers, struct memory *inherited, size_t own_pages)
{
	struct memory own;
	unsigned ready = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	memory_map(&own, own_pages);
	worker_fill(inherited, &own);
	printf("worker %d %p %p\n", getpid(), (void *)inherited->words, (void *)own.words);
	if (write(answers, &ready, sizeof ready) == sizeof ready)
		worker_serve(requests, answers, inherited, &own);
}

static void worker_start(struct worker *worker, struct memory *inherited, size_t own_pages)
{
	int requests[2], answers[2];
	unsigned ready;

	if (pipe(requests) < 0 || pipe(answers) < 0)
		_exit(2);
	worker->pid = fork();
	if (worker->pid == 0) {
		close(requests[1]);
		close(answers[0]);
		worker_run(requests[0], answers[1], inherited, own_pages);
		_exit(0);
	}
	close(requests[0]);
	close(answers[1]);
	worker->requests = requests[1];
	worker->answers = answers[0];
	/* One after the other, so that their lines on stdout do not mix. */
	if (worker->pid < 0 || read(worker->answers, &ready, sizeof ready) != sizeof ready)
		_exit(2);
}

/* Asks every worker; the sum of the answers. */
static unsigned workers_ask(const struct worker *workers, size_t count, unsigned number)
{
	unsigned sum = 0, answer;

	for (size_t i = 0; i < count; i++)
		if (write(workers[i].requests, &number, sizeof number) != sizeof number)
			_exit(2);
	for (size_t i = 0; i < count; i++) {
		if (read(workers[i].answers, &answer, sizeof answer) != sizeof answer)
			_exit(2);
		sum += answer;
	}
	return sum;
}

static void serve(const struct worker *workers, size_t count, const struct memory *inherited)
{
	char line[128];
	unsigned number;

	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "write %u", &number) == 1 && number > 0) {
			workers_ask(workers, count, number);
			printf("wrote %u\n", number);
		} else if (strcmp(line, "check\n") == 0) {
			printf("checked %u\n",
				workers_ask(workers, count, 0) + memory_errors(inherited));
		} else {
			printf("what? %s", line);
		}
	}
}

int main(int argc, char **argv)
{
	struct worker workers[WORKERS_MAX];
	struct memory inherited;
	size_t count = argc == 4 ? strtoul(argv[1], NULL, 10) : 0;

	if (count == 0 || count > WORKERS_MAX) {
		fprintf(stderr, "usage: prefork WORKERS INHERITED_MIB OWN_MIB\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	memory_map(&inherited, strtoul(argv[2], NULL, 10) << 8);
	inherited_fill(&inherited);
	for (size_t i = 0; i < count; i++)
		worker_start(&workers[i], &inherited, strtoul(argv[3], NULL, 10) << 8);
	printf("ready %d %p %zu\n", getpid(), (void *)inherited.words,
		inherited.pages * PAGE_BYTES);
	serve(workers, count, &inherited);
	for (size_t i = 0; i < count; i++)
		close(workers[i].requests);
	while (wait(NULL) > 0 || errno == EINTR)
		;
	return 0;
}
