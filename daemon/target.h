/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One VM or process the daemon knows: what it is, what may be done with it, what was done to it and
 * what came of it. Belongs to the pass thread.
 */
#ifndef PAGEFOLD_DAEMON_TARGET_H
#define PAGEFOLD_DAEMON_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/cleanup.h"
#include "daemon/fold_cost.h"
#include "daemon/forecast.h"
#include "daemon/guest.h"
#include "daemon/judge.h"
#include "daemon/ledger.h"
#include "daemon/policy.h"
#include "daemon/schedule.h"
#include "daemon/snapshot.h"
#include "daemon/state.h"
#include "hashing/twin_index.h"
#include "hypervisor-glue/merge_hook.h"

struct target {
	struct guest guest;

	/* policy */
	struct policy policy;
	char *policy_source; /* "default-mode", "libvirt metadata", or FILE:LINE */
	char *policy_error;  /* its metadata is no policy, and why; NULL: nothing wrong */
	bool policy_is_new;  /* another one than in the pass before: count anew */
	bool policy_unknown; /* libvirt's, and libvirt does not answer */
	bool nosharepages;   /* its domain XML forbids sharing */
	bool is_domain;      /* a libvirt knows it, or has started it */
	bool domain_arriving; /* of a domain: by libvirt's word its memory still arrives, or no word on it */
	bool arrived;        /* no incoming migration, or not any more */
	bool held;           /* released by the operator: nothing is folded until the policy changes */
	char *held_policy;   /* the policy it was released under, as text */
	bool inherited;      /* nobody named it: it has its marks from the process that it was forked from */
	struct policy inherited_policy; /* and this is done with it */

	/* means */
	const struct merge_hook_ops *hook_ops; /* chosen by policy; NULL: not chosen yet */
	struct merge_hook *hook;               /* attached; NULL: not (yet) */
	uint64_t hook_retry_ns;                /* not before, after a failed attach */
	bool hook_missed;                      /* the last plan would have folded it, had it had a hook */
	bool hook_was_stopped;                 /* the process was, then: not before it goes on */
	char hook_reason[2 * HOOK_REASON_BYTES]; /* why it could not attach; "": it could, or was not tried */

	char hook_note[HOOK_REASON_BYTES];     /* why it is not the hook that auto tries first; "": it is */
	uint64_t takeover_retry_ns;            /* not before, after a take-over that failed */
	char *takeover_reason;                 /* and why it did */
	bool planned_whole;                    /* the plan was made for a hook that advises the whole */

	/* as of this pass */
	bool present;   /* found by discovery */
	bool mapped;    /* its address space could be read */
	uint64_t looked_ns; /* CLOCK_MONOTONIC: when a pass last had a whole look at it */
	uint64_t looked_bursts; /* and how many there had been then */
	bool spared;    /* not looked at in this pass: hardly anything can have changed since */
	uint64_t booked_look; /* the look that its books are of */
	uint64_t booked_ns;   /* CLOCK_MONOTONIC: when each marked page was looked at for them */
	bool young;     /* boots, and is to be folded */
	bool busy;      /* and still is */
	bool unsettled; /* and so is not to be read yet */
	struct schedule_look look; /* at a young one, in this pass */
	enum vm_state state;
	char *reason;   /* for state; NULL: nothing to say */
	char *trouble;  /* what went wrong with it in this pass; NULL: nothing */
	struct twin_sums sums;      /* among the VMs of its group that are read */
	uint64_t saveable_bytes;    /* of which, under the policy, with what is folded already */
	uint64_t vma_room;          /* VMAs that marks may still make in it: */
	uint64_t mappings_room;     /* so many for vm.max_map_count alone */
	uint64_t cgroup_room_bytes; /* and this for what they take; MEMCG_UNLIMITED */
	uint64_t planned_pages; /* extents waiting for a fold or a second visit */

	/* books */
	int64_t reclaimed_bytes, reclaimed_zero_bytes;
	int64_t reclaimed_self_bytes; /* by twins inside it; NOT_MEASURED where frames cannot be told apart */
	int64_t exposure_bytes;       /* needed at once if every fold broke */
	uint64_t marked_extents, folded_pages;
	struct forecast forecast;     /* of its bursts */
	uint64_t marked_since_ticks; /* of the boot clock, as a process's start: the first mark; 0: none */
	uint64_t burst_pss_bytes; /* as a burst last read it */
	struct ledger ledger; /* the CPU time that it cost */
	struct fold_cost cost;
	int64_t ksm_item_bytes; /* of the kernel's, for what is mergeable in it; NOT_MEASURED */
	struct judgement judgement; /* whether it is worth that */
	bool trimmed; /* observed now: its unfolded marks were cleared */
};

/* Everything reachable is freed, the hook detached; marks stay where they are. Returns NULL. */
struct target *target_free(struct target *target);
/* Opens pid. On success *ret is the caller's. Errors as guest_open(). */
int target_new(const struct host_root *root, pid_t pid, bool allow_pagemap_scan, struct target **ret);

/* Takes over what the record says of this very process: marks, and whether it is held. The address
 * space must have been mapped. Marks whose extent is no longer mapped are dropped. 0 or -ENOMEM. */
int target_adopt(struct target *target, const struct state_target *recorded);

/* Asked for, not held and its address space readable: may have new folds in the active group. */
bool target_wants_folds(const struct target *target, const char *active_group);

/* Some extent is marked by us. */
bool target_has_marks(const struct target *target);
/* Some of its memory has been read. */
bool target_was_read(const struct target *target);
/* And userfaultfd watches such memory of it, at this moment. */
bool target_is_watched(const struct host_root *root, const struct target *target);
/* So many are. */
size_t target_marks(const struct target *target);
/* So many huge pages were, when they were marked, and have not been seen since. */
size_t target_huge_lost(const struct target *target);
/* After its address space was mapped anew: takes the mark from extents whose memory shows none. It is other
 * memory than the one that was marked, at the same place: plugged in where some was unplugged. */
void target_check_marks(struct target *target);

static inline const char *target_name(const struct target *target)
{
	return target->guest.vmm.cmdline.name;
}

static inline pid_t target_pid(const struct target *target)
{
	return target->guest.process.id.pid;
}

/* It may be folded again. */
void target_end_hold(struct target *target);

/* "mode group hook hugepages": what a hold remembers. The caller frees it; NULL: no memory. */
char *target_policy_text(const struct policy *policy);

/* Replaces *text by a formatted sentence. Out of memory leaves it as it is: a reason is not worth a
 * failure. */
void text_set(char **text, const char *format, ...) _printf_(2, 3);

#endif
