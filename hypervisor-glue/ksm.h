/* SPDX-License-Identifier: GPL-2.0-or-later */
/* KSM's knobs and counters in /sys/kernel/mm/ksm (Documentation/admin-guide/mm/ksm.rst), ksmd's own
 * clock, and what /proc/PID/ksm_stat says of a process. */
#ifndef PAGEFOLD_GLUE_KSM_H
#define PAGEFOLD_GLUE_KSM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hypervisor-glue/host_root.h"

/* KSM_KNOB_ABSENT: this kernel does not have the knob. */
#define KSM_KNOB_ABSENT INT64_MIN

struct ksm_knobs {
	int64_t run; /* 0 stopped, 1 running, 2 unmerging */
	int64_t pages_to_scan;
	int64_t sleep_millisecs;
	int64_t smart_scan;
	int64_t use_zero_pages;
	int64_t advisor_scan_time; /* advisor_mode: 0 none, 1 scan-time */
};

struct ksm_counters {
	uint64_t full_scans, pages_shared, pages_sharing, pages_unshared, pages_volatile;
	int64_t ksm_zero_pages, pages_scanned; /* KSM_KNOB_ABSENT on old kernels */
};

/* -ENOENT: no KSM in this kernel. */
int ksm_knobs_read(const struct host_root *root, struct ksm_knobs *ret);
/* Writes what differs from what is there; run is written last when it starts ksmd, first when it
 * stops it; the advisor before the knobs it would overwrite. The first error is returned, the rest
 * is written all the same. */
int ksm_knobs_write(const struct host_root *root, const struct ksm_knobs *knobs);
bool ksm_knobs_equal(const struct ksm_knobs *a, const struct ksm_knobs *b);
/* With merge_across_nodes at 0 on a host of several NUMA nodes KSM keeps a tree for each of them, and
 * merges only what is on the same one (zero pages aside). */
bool ksm_keeps_nodes_apart(const struct host_root *root);
int ksm_run_write(const struct host_root *root, int run);
/* A ksmd that sleeps for another time is woken by it (sleep_millisecs_store() in mm/ksm.c). */
int ksm_sleep_write(const struct host_root *root, int64_t sleep_millisecs);
int ksm_counters_read(const struct host_root *root, struct ksm_counters *ret);
/* Cheap enough to poll: one file. */
int ksm_full_scans_read(const struct host_root *root, uint64_t *ret);

/* The host-wide right to drive ksmd: a lock on the run knob, held until the descriptor is closed.
 * -EWOULDBLOCK: another process drives. */
int ksm_driver_lock(const struct host_root *root, int *ret_fd);

/* CPU time of the kernel thread ksmd since boot; *inout_pid caches its pid (0 at first).
 * -ESRCH: there is none. */
int ksmd_cpu_ns_read(const struct host_root *root, pid_t *inout_pid, uint64_t *ret_ns);

enum tristate { TRISTATE_UNKNOWN = -1, TRISTATE_NO = 0, TRISTATE_YES = 1 };

struct process_ksm {
	int64_t rmap_items, zero_pages, merging_pages; /* KSM_KNOB_ABSENT where not printed */
	enum tristate mergeable; /* some VMA is marked, or PR_SET_MEMORY_MERGE covers it */
	enum tristate merge_any; /* PR_SET_MEMORY_MERGE */
};

/* Text of /proc/PID/ksm_stat, "name value" or "name: yes|no" lines, unknown ones skipped.
 * Never fails. */
void process_ksm_parse(const char *text, struct process_ksm *ret);
/* -ENOENT where the kernel has no ksm_stat. */
int process_ksm_read(const struct host_root *root, pid_t pid, struct process_ksm *ret);

#endif
