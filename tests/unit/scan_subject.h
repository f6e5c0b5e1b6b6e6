/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An extent of a child's memory, and what it takes to scan it. */
#ifndef PAGEFOLD_TESTS_SCAN_SUBJECT_H
#define PAGEFOLD_TESTS_SCAN_SUBJECT_H

#include "daemon/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/unit/child.h"
#include "tests/unit/reserved_memory.h"

/* What the pages of the child's extent hold. */
enum {
	PAGE_OF_ZEROS,
	PAGE_OF_A,
	PAGE_OF_A_TOO,
	PAGE_OF_B,
	PAGE_HOLE,
	PAGE_ONLY_READ, /* the kernel's zero page */
	PAGE_LAST = EXTENT_PAGES - 1,
};

static inline int setup_scanner(struct scanner *scanner, struct host_root *root)
{
	(void)alarm(60);
	assert_int_equal(host_root_open("", root), 0);
	return scanner_init(scanner);
}

struct subject {
	struct reserved_memory memory;
	struct child child;
	struct host_root root;
	struct process process;
	struct pagemap pagemap;
	struct scanner scanner;
	struct scan_source source;
	struct extent extent;
};

static inline struct subject *subject_start(child_work work, bool allow_scan)
{
	struct subject *subject = calloc(1, sizeof(*subject));

	assert_non_null(subject);
	assert_int_equal(setup_scanner(&subject->scanner, &subject->root), 0);
	reserved_memory_init(&subject->memory, RESERVED_EXTENT);
	child_start(&subject->child, work, &subject->memory);
	assert_int_equal(process_open(&subject->root, subject->child.pid, &subject->process), 0);
	assert_int_equal(
		pagemap_open(&subject->root, subject->child.pid, allow_scan, &subject->pagemap), 0);
	subject->source = (struct scan_source){
		.root = &subject->root,
		.process = &subject->process,
		.pagemap = &subject->pagemap,
		.trust = TRUST_HUGE,
	};
	subject->extent = (struct extent){
		.start = reserved_address(&subject->memory, 0),
		.end = reserved_address(&subject->memory, RESERVED_EXTENT),
	};
	return subject;
}

static inline void subject_end(struct subject *subject)
{
	extent_prints_free(subject->extent.prints);
	pagemap_done(&subject->pagemap);
	process_done(&subject->process);
	child_stop(&subject->child);
	reserved_memory_done(&subject->memory);
	scanner_done(&subject->scanner);
	host_root_done(&subject->root);
	free(subject);
	(void)alarm(0);
}

static inline void scan(struct subject *subject)
{
	assert_int_equal(scan_extent(&subject->scanner, &subject->source, &subject->extent), 0);
}

static inline enum page_state state_of(const struct subject *subject, unsigned page)
{
	return extent_prints_state(subject->extent.prints, page);
}

static inline uint64_t print_of(const struct subject *subject, unsigned page)
{
	return extent_prints_get(subject->extent.prints, page);
}

static inline void fill(char *memory, unsigned page, int byte)
{
	memset(memory + page * RESERVED_PAGE, byte, RESERVED_PAGE);
}

static inline void small_pages(void *argument, char step)
{
	const struct reserved_memory *reserved = argument;
	char *memory = reserved->memory;

	switch (step) {
	case 0:
		(void)reserved_map(reserved, 0, RESERVED_EXTENT, MADV_NOHUGEPAGE);
		fill(memory, PAGE_OF_ZEROS, 0);
		fill(memory, PAGE_OF_A, 'A');
		fill(memory, PAGE_OF_A_TOO, 'A');
		fill(memory, PAGE_OF_B, 'B');
		(void)*(volatile char *)(memory + PAGE_ONLY_READ * RESERVED_PAGE);
		fill(memory, PAGE_LAST, 'Z');
		break;
	case 'w':
		memory[PAGE_OF_B * RESERVED_PAGE + 4095] = 'b';
		break;
	case 'd':
		(void)madvise(memory + PAGE_OF_B * RESERVED_PAGE, RESERVED_PAGE, MADV_DONTNEED);
		break;
	case 'u':
		(void)munmap(memory, RESERVED_EXTENT);
		break;
	}
}

/* Pages that a child has from its parent, and one of its own. */
static inline void inherited(void *argument, char step)
{
	const struct reserved_memory *reserved = argument;

	if (!step) /* one of its own beside what it inherited */
		fill(reserved->memory, PAGE_OF_B, 'O');
}

static inline struct subject *fork_shared_start(void)
{
	struct reserved_memory memory;
	struct subject *subject = calloc(1, sizeof(*subject));

	assert_non_null(subject);
	assert_int_equal(setup_scanner(&subject->scanner, &subject->root), 0);
	reserved_memory_init(&memory, RESERVED_EXTENT);
	(void)reserved_map(&memory, 0, RESERVED_EXTENT, MADV_NOHUGEPAGE);
	fill(memory.memory, PAGE_OF_A, 'A');
	fill(memory.memory, PAGE_OF_B, 'B');
	fill(memory.memory, PAGE_OF_ZEROS, 0);
	subject->memory = memory;
	child_start(&subject->child, inherited, &subject->memory);
	assert_int_equal(process_open(&subject->root, subject->child.pid, &subject->process), 0);
	assert_int_equal(
		pagemap_open(&subject->root, subject->child.pid, true, &subject->pagemap), 0);
	subject->source = (struct scan_source){ &subject->root, &subject->process,
		&subject->pagemap, TRUST_NOTHING, false, false };
	subject->extent.start = reserved_address(&memory, 0);
	subject->extent.end = reserved_address(&memory, RESERVED_EXTENT);
	return subject;
}

static inline void assert_still_shared(struct subject *subject)
{
	uint8_t tenures[EXTENT_PAGES];

	assert_int_equal(
		pagemap_tenures(&subject->pagemap, subject->extent.start, EXTENT_PAGES, tenures),
		0);
	assert_int_equal(tenures[PAGE_OF_A], PAGE_SHARED);
	assert_int_equal(tenures[PAGE_OF_ZEROS], PAGE_SHARED);
	assert_int_equal(tenures[PAGE_OF_B], PAGE_OWN);
}

#endif
