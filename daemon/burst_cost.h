/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What breaks, and who waits, while ksmd runs.
 *
 * All marked memory is looked at page by page before the first of ksmd's scans (for the books, or
 * here), after each (where that costs little beside the scan) and after the last. What broke
 * between two looks and was not folded again is seen so; what was is not. The kernel counts every
 * KSM page of the host that is copied on a write: how many of them nobody saw is known therefore,
 * and they are given to the VMs by what was seen of each. Only for the zero pages among them there
 * is no such count.
 */
#ifndef PAGEFOLD_DAEMON_BURST_COST_H
#define PAGEFOLD_DAEMON_BURST_COST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct core;

/* One who may have something folded, as of the burst's begin. */
struct burst_cost_vm {
	pid_t pid;
	uint64_t faults, ksm_broken;
	uint64_t folded_pages;
};

struct burst_cost {
	struct core *core;
	uint64_t started_ns;
	struct burst_cost_vm *vms; /* NULL: no memory, nothing is estimated */
	size_t count;
	uint64_t cow_ksm;
	int64_t pages_scanned;
	uint64_t looked_cpu_ns; /* of ksmd, until the last look */
};

/* When ksmd begins; ksmd_cpu_ns is its clock. */
void burst_cost_begin(struct core *core, uint64_t ksmd_cpu_ns, struct burst_cost *ret);
/* At the end of one of its scans. */
void burst_cost_scan(struct burst_cost *cost, uint64_t ksmd_cpu_ns);
/* When it has stopped, after so much CPU time of it. Frees what begin took. */
void burst_cost_end(struct burst_cost *cost, uint64_t burst_cpu_ns);

#endif
