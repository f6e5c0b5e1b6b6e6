/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads an extent of a process and fingerprints its pages, without ever faulting one in or undoing
 * a fold: the page map says first which pages are there, and which of them are shared.
 */
#ifndef PAGEFOLD_DAEMON_SCAN_H
#define PAGEFOLD_DAEMON_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/extent_view.h"
#include "daemon/read_size.h"
#include "hypervisor-glue/pagemap.h"
#include "hypervisor-glue/process.h"

/*
 * A second look at an extent reads so many of its own pages, chosen at random, before anything
 * else. Where k of its 512 have changed, that sees none of them with a probability of about (1 -
 * k/512)^32: 60 % for 8, 12 % for 32, 1 % for 64. What it misses the next visit finds with the same
 * chance again. Shared pages are mostly KSM pages, which do not change as long as they are there,
 * and are read one by one.
 */
#define SCAN_SAMPLE_PAGES        32
#define SCAN_SAMPLE_SHARED_PAGES 4

/* What one scanning thread works with. Several threads read at a time, each with a scanner of its
 * own. */
struct scanner {
	uint8_t *buffer;       /* what was read at a time */
	uint8_t *present;      /* one byte a page of it */
	struct read_size read_size;
	struct page_run *runs; /* EXTENT_PAGES of them */
	uint64_t random; /* of the samples; begins where the kernel says, for no guest to foresee */
	uint64_t pages_read; /* ever */
	uint64_t clock_ns;   /* the thread's own, up to which its work is on somebody's account */
	uint64_t charged_ns; /* ever */
};

int scanner_init(struct scanner *scanner);
void scanner_done(struct scanner *scanner);
/* CPU time of the calling thread since it was last asked, the pacing in between included: for one account or another. */
uint64_t scanner_charge(struct scanner *scanner);

struct scan_source {
	const struct host_root *root;
	const struct process *process;
	struct pagemap *pagemap;
	enum view_trust trust;
	bool skip_fork_shared; /* then trust nothing */
	bool nodes_apart;      /* pages on different NUMA nodes are no twins */
};

/*
 * A glimpse: eight pages at each of eight places, an eighth of the extent. The places are the same
 * in each one, since guests that booted alike hold much at the same address of theirs.
 */
#define SCAN_GLIMPSE_PAGES 64
struct scan_glimpse {
	uint64_t prints[SCAN_GLIMPSE_PAGES];
	unsigned count; /* of them: pages that hold something */
	unsigned zeros; /* pages that hold zeros */
};
/* Takes one; the extent stays as it is. 1: taken. 0: less than half of it is there, or is the
 * process's own: it costs hardly more to read that. Errors as scan_extent(). */
int scan_glimpse(struct scanner *scanner, const struct scan_source *source, struct extent *extent,
	struct scan_glimpse *ret);

/*
 * Visits one extent and reads all of it: replaces its fingerprints, counts pages read, zeros, and
 * what changed since the visit before. Pages that hold what they held keep their twin state; the
 * others are as new until the index has counted them. skip_fork_shared leaves out pages a process
 * shares with others by fork: they are one frame already, and no twins. It costs a look at the
 * frame flags. -ESRCH: the process ended, the extent is as it was. -ENOMEM, -EPERM, -errno
 * likewise.
 */
int scan_extent(struct scanner *scanner, const struct scan_source *source, struct extent *extent);

/*
 * Visits one that was read before, and takes a sample first: only where that finds a change are its
 * own (or its shared) pages read again. Pages that have come are read, pages that have gone are
 * forgotten in any case.
 */
int scan_extent_again(
	struct scanner *scanner, const struct scan_source *source, struct extent *extent);

#endif
