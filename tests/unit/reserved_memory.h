/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address space reserved before a fork, so that a test knows where its child maps memory. */
#ifndef PAGEFOLD_TESTS_RESERVED_MEMORY_H
#define PAGEFOLD_TESTS_RESERVED_MEMORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#define RESERVED_PAGE   ((size_t)4096)
#define RESERVED_EXTENT ((size_t)2 << 20)

struct reserved_memory {
	char *memory; /* aligned to 2 MiB */
	size_t bytes;
	char *mapping;
};

static inline uint64_t reserved_address(const struct reserved_memory *reserved, size_t offset)
{
	return (uint64_t)(uintptr_t)(reserved->memory + offset);
}

static inline void reserved_memory_init(struct reserved_memory *reserved, size_t bytes)
{
	uintptr_t address;

	reserved->bytes = bytes;
	reserved->mapping = mmap(NULL, bytes + RESERVED_EXTENT, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_true(reserved->mapping != MAP_FAILED);
	address = (uintptr_t)reserved->mapping + RESERVED_EXTENT - 1;
	reserved->memory = (char *)(address & ~(RESERVED_EXTENT - 1));
}

static inline void reserved_memory_done(struct reserved_memory *reserved)
{
	(void)munmap(reserved->mapping, reserved->bytes + RESERVED_EXTENT);
}

/* For the child: fresh private anonymous memory in the place of what was reserved. */
static inline char *reserved_map(
	const struct reserved_memory *reserved, size_t offset, size_t bytes, int advice)
{
	char *const address = reserved->memory + offset;

	if (mmap(address, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		    -1, 0) != address)
		_exit(1);
	(void)madvise(address, bytes, advice);
	return address;
}

#endif
