/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Huge pages that are about to be folded are split before ksmd comes to them. */
#ifndef PAGEFOLD_DAEMON_SPLIT_H
#define PAGEFOLD_DAEMON_SPLIT_H

#include <stdbool.h>

#include "daemon/core.h"

/*
 * Splits the huge pages with zero pages in them among the extents that were just marked. Only ever a help:
 * what the kernel refuses stays huge until ksmd merges something in it. True: at least one was split.
 */
bool split_huge_pages(struct core *core);

#endif
