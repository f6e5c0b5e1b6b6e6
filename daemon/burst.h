/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One burst of ksmd over what is marked: knobs saved (on disk first) and set, ksmd started, progress read
 * from the page tables, ksmd stopped, knobs restored. Between bursts ksmd does not run.
 */
#ifndef PAGEFOLD_DAEMON_BURST_H
#define PAGEFOLD_DAEMON_BURST_H

#include <stdint.h>

#include "daemon/core.h"

enum burst_end {
	BURST_DONE,        /* what was expected came, or nothing more comes */
	BURST_INTERRUPTED, /* pause, release or stop */
	BURST_STRANGER,    /* somebody else's memory became mergeable */
	BURST_WATCHED,     /* userfaultfd began to watch memory that is marked */
	BURST_LIMITED,     /* it brought what it may (restraint.h), and there is more */
	BURST_TIMEOUT,
};

struct burst_result {
	enum burst_end end;
	int64_t gained_pages; /* fall of the VMs' Pss: what they did themselves meanwhile included */
	uint64_t scans;       /* ksmd's full scans */
	uint64_t wall_ns, ksmd_cpu_ns;
};

const char *burst_end_text(enum burst_end end);

/* Over what core->plan predicts. 0, or -errno: then ksmd did not run, or is stopped. */
int burst_run(struct core *core, struct burst_result *ret);

#endif
