/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every VM and process the daemon knows, by ascending pid: the discover stage. Belongs to the pass
 * thread.
 */
#ifndef PAGEFOLD_DAEMON_REGISTRY_H
#define PAGEFOLD_DAEMON_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/policy_choice.h"
#include "daemon/state.h"
#include "daemon/target.h"
#include "hypervisor-glue/process_table.h"

struct registry {
	struct process_table processes; /* all of the host, as of the last refresh */
	struct target **targets;
	size_t count;
	bool lost_reads; /* somebody went whose memory had been read */
	bool lost_marks; /* the record speaks of marks that are gone with their memory */
	/* what those that are gone have cost */
	uint64_t retired_ring_cpu_ns, retired_helper_cpu_ns;
	uint64_t ended_cpu_ns; /* all that was charged to those that have ended */
	struct fold_cost retired_cost;
};

struct registry_sources {
	const struct host_root *root;
	struct policy_sources policies;
	bool allow_pagemap_scan;
	struct state *recorded; /* what an earlier daemon marked; what is adopted leaves it */
};

/*
 * Finds the VMs of the host and the processes the policies name, keeps what is known of those that go
 * on, drops what has ended. A process that cannot be opened is left out; its sentence goes to
 * *ret_trouble (the caller frees it; NULL: none). 0 or -errno.
 */
int registry_refresh(
	struct registry *registry, const struct registry_sources *sources, char **ret_trouble);
void registry_done(struct registry *registry);
/* Takes the target over; it must not be there yet. 0 or -ENOMEM. */
int registry_insert(struct registry *registry, struct target *target);
struct target *registry_find(const struct registry *registry, pid_t pid);
/* What all targets together had given back when they were last accounted. */
int64_t registry_reclaimed_bytes(const struct registry *registry);
/* CPU time of all hooks and helpers so far, gone ones included. */
void registry_hook_cpu(const struct registry *registry, uint64_t *ret_ring_ns, uint64_t *ret_helper_ns);
/* Lets go of the target's hook, its costs kept in the books. */
void registry_hook_detach(struct registry *registry, struct target *target);

#endif
