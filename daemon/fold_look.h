/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One look at the pages of a marked extent: what each of them is at this moment. No page is
 * touched. */
#ifndef PAGEFOLD_DAEMON_FOLD_LOOK_H
#define PAGEFOLD_DAEMON_FOLD_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/breaks.h"
#include "daemon/extent.h"
#include "daemon/guest.h"

struct fold_look {
	uint8_t tenures[EXTENT_PAGES]; /* enum page_tenure; of a process, shared is what is folded
					*/
	uint8_t folds[EXTENT_PAGES];   /* enum page_fold */
	uint64_t
		numbers[EXTENT_PAGES]; /* the frame of each shared page; 0: another, or not known */
	uint32_t mappings[EXTENT_PAGES]; /* of a process: how often that is mapped, by anybody; 0:
					    not known */
	unsigned shared, zero; /* KSM pages, of a VM those that others map too; zero pages */
	bool lonely;           /* some KSM page is mapped by nobody else any more */
	bool huge;             /* some of it is mapped by a huge page */
};

/* 0, -ESRCH, -errno. */
int fold_look_take(struct guest *guest, const struct extent *extent, struct fold_look *ret);

#endif
