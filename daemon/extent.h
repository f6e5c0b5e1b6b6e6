/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The unit of work: what of one eligible range of guest RAM lies in one 2 MiB slot of host-virtual
 * address space (so that an extent is what a huge page is, where the VMM aligned its RAM).
 */
#ifndef PAGEFOLD_DAEMON_EXTENT_H
#define PAGEFOLD_DAEMON_EXTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/payoff.h"
#include "hashing/extent_prints.h"
#include "hypervisor-glue/guest_ram.h"

#define PAGE_BYTES   UINT64_C(4096)
#define EXTENT_BYTES (EXTENT_PAGES * PAGE_BYTES)

/* The huge-page advice an extent had before we changed it. madvise cannot go back to "none". */
enum huge_advice { HUGE_ADVICE_NONE, HUGE_ADVICE_ALWAYS, HUGE_ADVICE_NEVER };

struct fold_memory;

struct extent {
	uint64_t start, end;
	struct extent_prints *prints; /* NULL: not read yet */
	uint64_t due_ns;              /* CLOCK_MONOTONIC: not to be read again before */
	uint16_t pages_read, zeros, twins;
	uint16_t changed;     /* pages that changed between the last two visits */
	uint16_t folded;      /* pages that are KSM pages, at the last look */
	uint16_t zero_before; /* pages mapped to the zero page before we marked it */
	uint16_t zero_after;  /* the same, at the last look */
	uint8_t visits;       /* saturates */
	uint8_t quiet;        /* consecutive visits without a change */
	uint8_t restless;     /* consecutive visits with one */
	uint8_t disappointed; /* bursts in a row that folded less than half of what was planned here */
	uint8_t advice;       /* enum huge_advice, of a marked extent */
	bool huge;            /* mapped by a huge page when last read */
	bool was_huge;        /* it was when it was marked */
	bool marked;          /* by us, and recorded */
	bool watched;         /* registered with userfaultfd, for now: kept in mind, and left alone */
	bool out_of_reach;    /* the hook that advises the whole does not get at it */
	bool glimpsed;        /* before it was ever read */
	bool put_off;         /* and that promised little: read once nothing else is waited for */
	bool settling;        /* the visit that tells whether it stays as it is is appointed */
	bool judged;          /* that was the last one, and not the first of all */
	bool fresh;           /* marked since the last trim: what of it folded is not known yet */
	bool exposed;         /* an audit found it to share a frame with a stranger */
	bool dismissed;       /* the plan has it released, and others of its VM not */
	struct payoff payoff; /* whether its folds still pay */
	uint16_t promised;    /* pages the plan expected of the fresh mark */
	uint16_t had;         /* pages folded before it */
	uint8_t *shared_before; /* process targets: map counts at mark time, one a page, or SHARED_BY_FORK; NULL: all 1 */
	struct fold_memory *memory; /* of a marked extent: its pages at the last look; NULL: none yet */
	uint32_t breaks;      /* folds of it seen broken since this daemon knows it */
	bool huge_lost;       /* it was huge when it was marked, and has not been seen huge since */
};

/* In place of such a count: the page was a fold already when a fork handed it on. */
#define SHARED_BY_FORK 0

struct extent_map {
	struct extent *extents; /* ascending */
	size_t count;
};

static inline unsigned extent_first_page(const struct extent *extent)
{
	return (unsigned)(extent->start % EXTENT_BYTES / PAGE_BYTES);
}

static inline unsigned extent_pages(const struct extent *extent)
{
	return (unsigned)((extent->end - extent->start) / PAGE_BYTES);
}

/* Pages our folding took out of private memory there: KSM pages and zero pages, as last looked at. */
static inline uint16_t extent_folds(const struct extent *extent)
{
	const int zeros = extent->zero_after - extent->zero_before;

	return (uint16_t)(extent->folded + (zeros > 0 ? zeros : 0));
}

/* As if nobody had ever read it. What was noted of it because it is marked stays. */
void extent_forget_visits(struct extent *extent);
/* It is to be read twice before it may be marked (again). */
void extent_doubt(struct extent *extent);

/* It is not marked (any more): what was noted of it for as long as it is goes. */
void extent_unmark(struct extent *extent);

/*
 * Cuts the mergeable ranges into extents, and those that userfaultfd watches for now. What was known about an extent with the same bounds is
 * carried over; what is no longer mapped is forgotten, its fingerprints freed. 0 or -ENOMEM (the old
 * map stays).
 */
int extent_map_update(
	struct extent_map *map, const struct ram_range *ranges, size_t range_count);
void extent_map_done(struct extent_map *map);
/* The extent that holds the address, or NULL. */
struct extent *extent_map_find(const struct extent_map *map, uint64_t address);

#endif
