/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of an extent is there to be read, and whose it is: a look at the page tables, no page is
 * touched. */
#ifndef PAGEFOLD_DAEMON_EXTENT_VIEW_H
#define PAGEFOLD_DAEMON_EXTENT_VIEW_H

#include <stdbool.h>

#include "daemon/extent.h"
#include "hashing/page_set.h"
#include "hypervisor-glue/pagemap.h"

/* Pages are counted from the start of the extent's 2 MiB slot, as in its fingerprints. */
struct extent_view {
	struct page_set own;    /* mapped by this process alone */
	struct page_set shared; /* KSM pages, and what is shared by fork */
	bool huge;              /* begins in a huge page */
};

/* What is known to be the process's own without a look at each page, which takes as long as reading
 * a tenth of them. */
enum view_trust {
	TRUST_NOTHING,
	TRUST_HUGE, /* a huge page: KSM splits one before it folds a page of it, and a VMM shares no
		       RAM by fork */
	TRUST_ALL,  /* KSM has no page of this process either */
};

/* runs has room for EXTENT_PAGES of them. 0, -ESRCH, -errno. */
int extent_view_take(struct pagemap *pagemap, const struct extent *extent, enum view_trust trust,
	struct page_run *runs, struct extent_view *ret);

#endif
