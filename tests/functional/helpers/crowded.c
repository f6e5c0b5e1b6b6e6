// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * crowded MAPPINGS MIB: a process with that many mappings, besides MIB MiB of twins: every page is one of
 * sixteen contents, the same in every instance. Says "ready PID START LENGTH"; to "check" it answers
 * "wrong N", the number of pages that are not what they were.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, WORDS = PAGE_BYTES / 8, CONTENTS = 16 };

static uint64_t word_of(size_t page, size_t word)
{
	return (page % CONTENTS + 1) * UINT64_C(0x9e3779b97f4a7c15) + word;
}

/* Neighbours of different protection are mappings of their own. */
static void crowd(size_t mappings)
{
	char *area = mmap(NULL, mappings * PAGE_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		goto fail;
	for (size_t i = 0; i < mappings; i += 2)
		if (mprotect(area + i * PAGE_BYTES, PAGE_BYTES, PROT_NONE) < 0)
			goto fail;
	return;
fail:
	perror("crowd");
	exit(1);
}

static unsigned count_wrong(const volatile uint64_t *memory, size_t pages)
{
	unsigned wrong = 0;

	for (size_t page = 0; page < pages; page++) {
		int differs = 0;

		for (size_t word = 0; word < WORDS; word++)
			differs |= memory[page * WORDS + word] != word_of(page, word);
		wrong += (unsigned)differs;
	}
	return wrong;
}

int main(int argc, char **argv)
{
	const size_t mappings = argc == 3 ? strtoul(argv[1], NULL, 10) : 0;
	const size_t bytes = argc == 3 ? strtoul(argv[2], NULL, 10) << 20 : 0;
	uint64_t *memory;
	char line[64];

	if (!bytes)
		return 2;
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (size_t i = 0; i < bytes / 8; i++)
		memory[i] = word_of(i / WORDS, i % WORDS);
	crowd(mappings);
	printf("ready %d %p %zu\n", getpid(), (void *)memory, bytes);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!strcmp(line, "check\n"))
			printf("wrong %u\n", count_wrong(memory, bytes / PAGE_BYTES));
		fflush(stdout);
	}
	return 0;
}
