/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What came back, read from the page tables as they are now, whether ksmd runs or not.
 *
 * A VM: Rss - Pss of its RAM, which already divides every shared frame among its sharers, plus the
 * pages the fold turned into the kernel's zero page (they leave Rss altogether). Summed over the VMs
 * this is the fall of the host's AnonPages.
 *
 * A process may share anonymous pages with its children by fork, and that is not ours: of it only KSM
 * pages count, each with its share of the frame before less its share now. What it forks when it is folded takes
 * part in its frames, and saves nothing by that: such mappings do not count.
 *
 * How much of it twins inside one target account for is told by the numbers of the frames (tally.h). What would be
 * needed if every fold broke is the same sum, except that there it does not matter who would have had a page anyway.
 */
#ifndef PAGEFOLD_DAEMON_ACCOUNT_H
#define PAGEFOLD_DAEMON_ACCOUNT_H

#include <stdint.h>

#include "daemon/core.h"

/* Before an extent is marked: notes which of its pages are no doing of ours, and whether it is huge. 0 or
 * -errno. */
int account_begin(struct target *target, struct extent *extent);

/* Looks at one marked extent: sets its folded and zero_after counts, adds what broke since the last look to the
 * books, and sets in tenures (EXTENT_PAGES) which of its pages are folded (PAGE_SHARED). 0 or -errno. */
int account_extent(struct target *target, struct extent *extent, uint8_t *ret_tenures);

/* The same for every marked extent of a target. */
void account_look(struct target *target);

/*
 * Around a read of an extent, by the thread that has it for itself. A KSM page that nobody else maps any more
 * looks like the process's own, and is copied when it is read (process_vm_readv pins, and the kernel unshares
 * what is pinned: gup_must_unshare() in mm/internal.h): that is none of the VM's breaks. What broke before is,
 * and goes to the caller, as the target's books are the pass thread's. True: there is such a page, so call
 * account_after_read() too.
 */
bool account_before_read(struct guest *guest, struct extent *extent, struct break_counts *ret_broken);
void account_after_read(struct guest *guest, struct extent *extent);

/* Fills the books of a mapped target. */
void account_target(const struct core *core, struct target *target);
/* Of every one. */
void account_targets(struct core *core);
/* Of those whose address space was looked at since their books were filled. */
void account_targets_looked_at(struct core *core);

/* 64 bytes for each of KSM's rmap items and stable nodes that are there for our targets, and our own
 * resident memory; notes in each target what of it is that one's alone. NOT_MEASURED where the kernel does not tell. */
int64_t account_metadata_bytes(const struct core *core);

#endif
