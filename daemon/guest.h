/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process whose memory is looked at: a VMM, or any process that a policy names. Holds what it takes
 * to read it, and what the last look at its address space said. Reading only; used from one thread.
 */
#ifndef PAGEFOLD_DAEMON_GUEST_H
#define PAGEFOLD_DAEMON_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/extent.h"
#include "daemon/footprint.h"
#include "hypervisor-glue/host_root.h"
#include "hypervisor-glue/pagemap.h"
#include "hypervisor-glue/process.h"
#include "hypervisor-glue/smaps.h"
#include "hypervisor-glue/vmm.h"

struct guest {
	struct process process;
	struct pagemap pagemap;
	struct vmm vmm; /* name and uuid also of a process that is no VMM */
	bool is_vm;

	/* as of the last guest_map() */
	struct extent_map map;
	struct smaps_list smaps;
	struct footprint footprint;
	bool advised; /* something was done to it since */
	uint64_t looks; /* so many have there been */
	uint64_t ram_bytes;                         /* all ranges, whatever their verdict */
	uint64_t verdict_bytes[RAM_VERDICT_COUNT];
	uint64_t rss_bytes, pss_bytes, ksm_bytes; /* of the mergeable ranges */
};

/* 0, -ESRCH, -EACCES (ptrace access refused), -errno. */
int guest_open(const struct host_root *root, pid_t pid, bool allow_pagemap_scan, struct guest *ret);
void guest_done(struct guest *guest);

/* Looks at the address space anew; extents keep what was known of them. 0, -ESRCH, -errno. */
int guest_map(const struct host_root *root, struct guest *guest);

/* Whether userfaultfd watches some of its mergeable memory, at this moment. */
bool guest_is_watched(const struct host_root *root, const struct guest *guest);

/* The proportional share of all of the process's memory: what a burst polls. 0, -ESRCH, -errno. */
int guest_pss_read(const struct host_root *root, const struct guest *guest, uint64_t *ret_bytes);

/* What of its RAM can never merge, and why: one sentence in memory the caller frees; NULL where all
 * of it can (or no memory for a sentence). */
char *guest_ineligible_text(const struct guest *guest);

#endif
