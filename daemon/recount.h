/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether the twins are to be counted anew. A count goes over all fingerprints, 0.15 us a page:
 * what little changes on a host at rest is collected first. Pure: the clock is the caller's.
 */
#ifndef PAGEFOLD_DAEMON_RECOUNT_H
#define PAGEFOLD_DAEMON_RECOUNT_H

#include <stdbool.h>
#include <stdint.h>

struct recount {
	uint64_t pending_pages; /* read anew or changed since the last count */
	uint64_t fresh_pages;   /* of them, in this pass */
	uint64_t since_ns;      /* when the first of them came */
	uint64_t counted_ns;    /* when the last count ended; 0: there was none */
	uint64_t cost_ns;       /* how long it took */
};

/* At the beginning of each pass. */
void recount_begin(struct recount *recount);
/* So many pages are not what they were when they were counted. */
void recount_note(struct recount *recount, uint64_t pages, uint64_t now_ns);
/* A count of everything has ended. */
void recount_done(struct recount *recount, uint64_t cost_ns, uint64_t now_ns);

/* Of so many pages that are known. booting: one that is young is busy. */
bool recount_is_due(
	const struct recount *recount, uint64_t known_pages, bool booting, uint64_t now_ns);

#endif
