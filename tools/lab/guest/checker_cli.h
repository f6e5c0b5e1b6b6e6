/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options and the line protocol that memcheck and tiny_kvm have in common.
 *
 * Said on stdout: "ready PID START LENGTH" once the memory is filled. Understood on stdin:
 *
 *   status     answered with "rounds N errors M"
 *   write N    N pages, anywhere, are rewritten after the next round; answered with "wrote N"
 *   stop       (or the end of stdin) answered with "rounds N errors M", exit 0
 *
 * At the first wrong byte: "wrong ..." with what and where, "rounds N errors 1", exit 1.
 */
#ifndef PAGEFOLD_LAB_CHECKER_CLI_H
#define PAGEFOLD_LAB_CHECKER_CLI_H

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "tools/lab/guest/pagecheck.h"

#define CHECKER_HUGE_BYTES (2UL << 20)

struct checker {
	uint64_t mib;
	bool hugepages;
	uint64_t hot_writes, stray_writes; /* pages a round */
	int pause_ms;                      /* between rounds */
	uint64_t rounds;
	struct pagecheck check;

	/* Input that is not a whole line yet. */
	char input[256];
	size_t input_length;
};

enum checker_command { CHECKER_GO_ON, CHECKER_WRITE, CHECKER_STOP };

static inline uint64_t checker_number(const char *text)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end) {
		fprintf(stderr, "not a number: %s\n", text);
		exit(2);
	}
	return value;
}

static inline void checker_usage(const char *program)
{
	fprintf(stderr,
		"usage: %s [--mib N] [--hugepages] [--zero PERCENT] [--twins PERCENT]\n"
		"       [--contents N] [--hot PERCENT] [--hot-writes N] [--stray-writes N]\n"
		"       [--pause-ms N] [--seed N]\n",
		program);
	exit(2);
}

/* --NAME VALUE for each name; --hugepages by itself. */
struct checker_option {
	const char *name;
	uint64_t value;
};

enum checker_option_index {
	CHECKER_MIB,
	CHECKER_ZERO,
	CHECKER_TWINS,
	CHECKER_CONTENTS,
	CHECKER_HOT,
	CHECKER_HOT_WRITES,
	CHECKER_STRAY_WRITES,
	CHECKER_PAUSE_MS,
	CHECKER_SEED,
	CHECKER_OPTION_COUNT,
};

static inline bool checker_parse_options(
	int argc, char **argv, struct checker_option options[CHECKER_OPTION_COUNT])
{
	bool hugepages = false;

	for (int i = 1; i < argc; i++) {
		const char *name = strncmp(argv[i], "--", 2) == 0 ? argv[i] + 2 : "";
		size_t option = 0;

		if (strcmp(name, "hugepages") == 0) {
			hugepages = true;
			continue;
		}
		while (option < CHECKER_OPTION_COUNT && strcmp(name, options[option].name) != 0)
			option++;
		if (option == CHECKER_OPTION_COUNT || i + 1 == argc)
			checker_usage(argv[0]);
		options[option].value = checker_number(argv[++i]);
	}
	return hugepages;
}

static inline void checker_parse(struct checker *checker, int argc, char **argv)
{
	struct checker_option options[CHECKER_OPTION_COUNT] = {
		[CHECKER_MIB] = { "mib", 32 },
		[CHECKER_ZERO] = { "zero", 20 },
		[CHECKER_TWINS] = { "twins", 30 },
		[CHECKER_CONTENTS] = { "contents", 64 },
		[CHECKER_HOT] = { "hot", 25 },
		[CHECKER_HOT_WRITES] = { "hot-writes", 16 },
		[CHECKER_STRAY_WRITES] = { "stray-writes", 1 },
		[CHECKER_PAUSE_MS] = { "pause-ms", 10 },
		[CHECKER_SEED] = { "seed", 0 },
	};
	uint64_t *seed = &options[CHECKER_SEED].value;
	bool hugepages;

	if (getrandom(seed, sizeof *seed, 0) != sizeof *seed)
		exit(2);
	hugepages = checker_parse_options(argc, argv, options);
	*checker = (struct checker){
		.mib = options[CHECKER_MIB].value,
		.hugepages = hugepages,
		.hot_writes = options[CHECKER_HOT_WRITES].value,
		.stray_writes = options[CHECKER_STRAY_WRITES].value,
		.pause_ms = (int)options[CHECKER_PAUSE_MS].value,
	};
	struct pagecheck *check = &checker->check;

	check->zero_percent = (uint32_t)options[CHECKER_ZERO].value;
	check->twin_percent = (uint32_t)options[CHECKER_TWINS].value;
	check->twin_contents = (uint32_t)options[CHECKER_CONTENTS].value;
	check->random = check->seed = *seed;
	check->page_count = checker->mib << 8;
	check->hot_from = check->page_count - check->page_count * options[CHECKER_HOT].value / 100;
	check->next_content = PAGECHECK_COMMON_LIMIT;
	if (checker->mib == 0 || check->twin_contents == 0 ||
		check->twin_contents >= PAGECHECK_COMMON_LIMIT || options[CHECKER_HOT].value > 100)
		checker_usage(argv[0]);
}

/* Private anonymous memory that begins on a huge page's border; exits if there is none. */
static inline void *checker_map(uint64_t bytes, bool hugepages)
{
	char *start = mmap(NULL, bytes + CHECKER_HUGE_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	uint64_t before = -(uintptr_t)start % CHECKER_HUGE_BYTES;

	/* What is left over at either end would look like memory of ours that holds nothing. */
	if (before)
		munmap(start, before);
	if (before < CHECKER_HUGE_BYTES)
		munmap(start + before + bytes, CHECKER_HUGE_BYTES - before);
	madvise(start + before, bytes, hugepages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return start + before;
}

static inline void checker_say_ready(const struct checker *checker, const void *start)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d %p %llu\n", getpid(), start, (unsigned long long)checker->mib << 20);
}

static inline void checker_say_status(const struct checker *checker, unsigned errors)
{
	printf("rounds %llu errors %u\n", (unsigned long long)checker->rounds, errors);
}

static inline int checker_say_wrong(
	const struct checker *checker, const struct pagecheck_error *error)
{
	const struct pagecheck_page *page = &checker->check.pages[error->page];

	printf("wrong page %llu offset %llu expected %016llx found %016llx content %u patch %u at "
	       "%u\n",
		(unsigned long long)error->page, (unsigned long long)error->word * 8,
		(unsigned long long)error->expected, (unsigned long long)error->found,
		page->content, page->patch, page->patch_at);
	checker_say_status(checker, 1);
	return 1;
}

static inline enum checker_command checker_obey(
	struct checker *checker, const char *line, uint64_t *ret_pages)
{
	unsigned long long pages;

	if (strcmp(line, "stop") == 0)
		return CHECKER_STOP;
	if (strcmp(line, "status") == 0)
		checker_say_status(checker, 0);
	else if (sscanf(line, "write %llu", &pages) == 1) {
		*ret_pages = pages;
		return CHECKER_WRITE;
	} else
		printf("what? %s\n", line);
	return CHECKER_GO_ON;
}

/* Waits for the pause between two rounds, or less if something is asked. CHECKER_WRITE tells how
 * many pages; the caller answers with "wrote". */
static inline enum checker_command checker_listen(struct checker *checker, uint64_t *ret_pages)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	char *newline = memchr(checker->input, '\n', checker->input_length);

	if (!newline && poll(&in, 1, checker->pause_ms) > 0) {
		ssize_t got = read(STDIN_FILENO, checker->input + checker->input_length,
			sizeof checker->input - checker->input_length);

		if (got <= 0)
			return CHECKER_STOP;
		checker->input_length += (size_t)got;
		newline = memchr(checker->input, '\n', checker->input_length);
	}
	if (!newline)
		return CHECKER_GO_ON;

	char line[sizeof checker->input];
	size_t length = (size_t)(newline - checker->input);

	memcpy(line, checker->input, length);
	line[length] = '\0';
	checker->input_length -= length + 1;
	memmove(checker->input, newline + 1, checker->input_length);
	return checker_obey(checker, line, ret_pages);
}

#endif
