/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which part of an extent is worth a mark. ksmd looks at every page that is marked, twin or not, in each of
 * its scans: so what lies between twins is left out where that takes no more mappings than there is room for.
 */
#ifndef PAGEFOLD_DAEMON_DENSE_H
#define PAGEFOLD_DAEMON_DENSE_H

#include <stdint.h>

#include "daemon/advice_list.h"
#include "daemon/extent.h"

/* A run that is not marked costs two VMAs and saves 1.7 us per page and scan: shorter ones stay. */
#define DENSE_GAP_PAGES 16u
#define DENSE_GAP_VMAS  2u

/*
 * Adds the marks (MADV_MERGEABLE) for what of the extent is zero or has a twin, as last read; all of it where
 * nothing of that is known. *inout_vma_room: VMAs that may still be used for gaps. 0 or -ENOMEM.
 */
int dense_mark(const struct extent *extent, uint64_t *inout_vma_room, struct advice_list *list);

#endif
