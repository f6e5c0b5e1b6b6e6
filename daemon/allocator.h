/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the allocator says about the daemon's own memory. */
#ifndef PAGEFOLD_DAEMON_ALLOCATOR_H
#define PAGEFOLD_DAEMON_ALLOCATOR_H

#include <stdint.h>

/* jemalloc's statistics of the same names (jemalloc(3)), in bytes. */
struct allocator_stats {
	int64_t allocated_bytes; /* asked for and not given back */
	int64_t active_bytes;    /* of pages in use */
	int64_t metadata_bytes;
	int64_t resident_bytes; /* of physical memory, at most */
	int64_t mapped_bytes;
	int64_t retained_bytes; /* of addresses that are kept for later, without memory */
};

/* As of now; NOT_MEASURED (daemon/snapshot.h) where the program runs without jemalloc. */
void allocator_read(struct allocator_stats *ret);
/* Gives what was freed back to the host now, not seconds later: beside much that was, before much is
 * taken that would not fit into it. */
void allocator_purge(void);

#endif
