/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads an extent of a process and fingerprints its pages, without ever faulting one in or undoing a fold:
 * the page map says first which pages are there, and which of them are shared.
 */
#ifndef PAGEFOLD_DAEMON_SCAN_H
#define PAGEFOLD_DAEMON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/extent.h"
#include "hypervisor-glue/pagemap.h"
#include "hypervisor-glue/process.h"

/* The read buffer of one scanning thread. */
struct scanner {
	uint8_t *buffer;  /* EXTENT_BYTES */
	uint8_t *present; /* one byte a page */
	struct page_run *runs, *own, *shared; /* EXTENT_PAGES each: what is there, and whose it is */
	uint64_t pages_read; /* ever */
};

int scanner_init(struct scanner *scanner);
void scanner_done(struct scanner *scanner);

struct scan_source {
	const struct host_root *root;
	const struct process *process;
	struct pagemap *pagemap;
	bool skip_fork_shared;
};

/*
 * Visits one extent: replaces its fingerprints, counts pages read, zeros, and what changed since the
 * visit before. The twin states of the pages are as new; the index sets them.
 * skip_fork_shared leaves out pages a process shares with others by fork: they are one frame already,
 * and no twins. It costs a look at the frame flags.
 * -ESRCH: the process ended, the extent is as it was. -ENOMEM, -EPERM, -errno likewise.
 */
int scan_extent(struct scanner *scanner, const struct scan_source *source, struct extent *extent);

#endif
