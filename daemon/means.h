/* SPDX-License-Identifier: GPL-2.0-or-later */
/* By which hook a target's memory can be advised, and getting hold of it: once per VM, when first
 * needed. */
#ifndef PAGEFOLD_DAEMON_MEANS_H
#define PAGEFOLD_DAEMON_MEANS_H

#include "daemon/core.h"
#include "hypervisor-glue/merge_hook.h"

/* "ring", "qmp" or "none": what is used, or would be tried first. */
const char *means_name(const struct core *core, const struct target *target);
/* That hook advises all of the memory or none. */
bool means_is_whole(const struct core *core, const struct target *target);

/* The hook was refused, and it is not yet time to try again: a plan cannot count on this target. One whose
 * hook is none is planned for all the same, since that is what none is for. */
bool means_refused(const struct core *core, const struct target *target);

/* A plan left somebody out because it was stopped, and it goes on: a new plan is due. Who refused for another reason
 * is tried again by the next plan that is made anyway: once a minute it would cost more than it is likely to give. */
bool means_were_missed(const struct core *core);

/* 0: target->hook is there. Otherwise -errno, and target->hook_reason says what stands in the way; it is
 * tried again after a while. */
int means_attach(struct core *core, struct target *target);

/* The same, but where hook = auto fell back to qmp the ring is tried once more: it releases extent by extent,
 * and QEMU's main loop goes on meanwhile. by_force: even where the process's memory cgroup has no room for a ring. */
int means_attach_to_release(struct core *core, struct target *target, bool by_force);

/* By that hook and no other, as far as the policy and the host allow it: 0 or -errno, and why. Whoever the
 * target is to be advised for later finds it as auto would have it only after means_let_go(). */
int means_attach_by(
	struct core *core, struct target *target, const struct merge_hook_ops *ops);

/* Of a hook that is not the one that would be tried first. */
void means_let_go(struct core *core, struct target *target);

/* Carries out the requests. A hook that did not answer in time is let go of: -ETIMEDOUT. */
int means_advise(struct core *core, struct target *target, struct advice_request *requests,
	size_t count);

/* Why attaching failed, or advising did, or a request was answered with that error: a sentence. */
void means_explain(
	const struct core *core, const struct target *target, int error, char **ret_sentence);

#endif
