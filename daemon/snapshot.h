/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What one pass found out: immutable once published, reference-counted, shared between the pass thread
 * that makes it and the main thread that answers with it. The API and the CLI render snapshots and
 * nothing else.
 */
#ifndef PAGEFOLD_DAEMON_SNAPSHOT_H
#define PAGEFOLD_DAEMON_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "daemon/allocator.h"
#include "daemon/plan.h"
#include "daemon/policy.h"
#include "daemon/verdict.h"

/* A number that may not have been measured (yet, or on this kernel): rendered as null. */
#define NOT_MEASURED INT64_MIN
#define SECONDS_NOT_MEASURED (-1.0)

enum vm_state {
	VM_OBSERVED, VM_WAITING, VM_FOLDING, VM_FOLDED, VM_RELEASED, VM_BLOCKED, VM_INELIGIBLE, VM_OFF,
};

const char *vm_state_name(enum vm_state state);

struct snapshot_extent {
	uint64_t start, length; /* host-virtual address, bytes */
	uint16_t pages_read, zeros, twins;
	bool huge, folded;
	uint32_t breaks; /* seen; what bursts hide is estimated per VM only */
};

struct snapshot_vm {
	char *name;
	char *uuid; /* NULL: none */
	pid_t pid;
	uint64_t started_ticks; /* since the boot: with the pid, one process and no other */
	bool is_vm;
	enum policy_mode mode;
	char group[POLICY_GROUP_BYTES];
	const char *hook; /* static: "ring", "none" */
	enum vm_state state;
	char *reason; /* NULL: nothing to say */
	char *policy_source; /* "default-mode", or FILE:LINE */
	enum policy_hugepages hugepages;
	enum policy_hook policy_hook;
	int64_t ram_bytes, resident_bytes, pages_scanned, zero_pages, duplicate_pages, potential_bytes;
	int64_t reclaimed_bytes, reclaimed_zero_bytes, exposure_bytes, cow_breaks_estimate, hugepages_lost;
	int64_t reclaimed_self_bytes, reclaimed_cross_bytes; /* with the zero bytes: reclaimed_bytes */
	int64_t predicted_bytes, delivered_bytes; /* of bursts: by the plan, and by the kernel's word */
	double stall_seconds_estimate, stall_longest_seconds, cpu_seconds;
	struct verdict verdict;
	char *verdict_reason; /* NULL: no memory for it */
	struct snapshot_extent *extents;
	size_t extent_count;
};

struct snapshot {
	int references; /* atomic */

	/* host */
	int64_t memory_bytes, available_bytes, swap_free_bytes;
	char *kernel;
	char boot_id[POLICY_BOOT_BYTES]; /* "": no pass has run */
	char **features; /* NULL-terminated names */
	char *active_group; /* NULL: none yet */
	bool paused;
	const char *ksm_driver; /* static: "pagefold", "another pagefold", "other", "stand-by", "none" */
	char **blocked_by; /* NULL-terminated sentences */
	char **warnings;

	/* savings, cost */
	int64_t reclaimed_bytes, reclaimed_zero_bytes, net_bytes, potential_bytes, exposure_bytes, metadata_bytes;
	int64_t reclaimed_self_bytes, reclaimed_cross_bytes, predicted_bytes, delivered_bytes;
	double scan_cpu_seconds, ksmd_cpu_seconds, ring_cpu_seconds, helper_cpu_seconds;
	double vms_cpu_seconds, ended_cpu_seconds, own_cpu_seconds; /* the same, by who it was for */
	struct timespec since; /* of all counters; 0: not known */
	struct verdict verdict;
	char *verdict_reason;
	int64_t cow_breaks, cow_break_ns_p50, cow_break_ns_p99, hugepages_lost;
	double stall_seconds_estimate, stall_longest_seconds;

	/* pass */
	uint64_t pass_number; /* 0: none has finished */
	struct timespec finished_at;
	int64_t pages_scanned, bytes_per_second;
	double pass_seconds; /* how long it took */

	struct allocator_stats allocator; /* of the daemon itself */

	struct snapshot_vm *vms;
	size_t vm_count;

	struct plan plan; /* what it would do next, and why */
};

void snapshot_vm_init(struct snapshot_vm *vm); /* no strings, every number NOT_MEASURED */
/* What this VM alone is called (a clone has its name, perhaps its uuid); strings are vm's. */
struct policy_subject snapshot_subject(
	const struct snapshot *snapshot, const struct snapshot_vm *vm);
struct snapshot *snapshot_new(void); /* one reference, every number NOT_MEASURED; NULL: no memory */
struct snapshot *snapshot_ref(struct snapshot *snapshot);
struct snapshot *snapshot_unref(struct snapshot *snapshot); /* NULL is fine; returns NULL */

#endif
