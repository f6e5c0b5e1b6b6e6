/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading many extents: in several threads at once, each of which goes where the memory is. */
#ifndef PAGEFOLD_DAEMON_ROUND_H
#define PAGEFOLD_DAEMON_ROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/breaks.h"
#include "daemon/core.h"
#include "daemon/extent_view.h"

/* One extent, and what came of it. */
struct visit {
	struct target *target;
	struct extent *extent;
	enum view_trust trust;
	uint16_t pages_before, zeros_before;
	size_t lot;
	uint64_t cpu_ns;
	struct break_counts broken; /* since the last look at it */
	bool done;
	int error;
};

/*
 * Reads them within the CPU budget, those of the young first. room: so many extents may get fingerprints
 * that have none; *ret_unread: so many did not. On a host of several NUMA nodes the visits are put into
 * another order. 0, also when interrupted, or -ENOMEM: then nothing has been read.
 */
int round_run(struct core *core, struct visit *visits, size_t count, size_t room,
	size_t *ret_unread);

#endif
