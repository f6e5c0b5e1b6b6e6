// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/means.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/log.h"
#include "daemon/monitor.h"
#include "daemon/room.h"

/* A process that refused us (memlock, ptrace) may have changed its mind. */
#define ATTACH_RETRY_NS (60 * NS_PER_S)
/* One that was frozen goes on some time; to find that out costs a helper that ends at once. */
#define ATTACH_AGAIN_NS (5 * NS_PER_S)

/* A request takes microseconds, a copying one (UNMERGEABLE or COLLAPSE of a folded extent) 10 to 20 ms. What
 * has no answer five seconds after that is a process that was stopped or frozen meanwhile. */
#define ADVISE_PATIENCE_NS (5 * NS_PER_S)
#define ADVISE_REQUEST_NS  (20 * NS_PER_MS)

/* What QEMU copies back in its main loop comes at 32 us a page: 16 ms for an extent, and as much to spare. */
#define WHOLE_EXTENT_NS (32 * NS_PER_MS)

static enum policy_hook means_wanted(const struct core *core, const struct target *target)
{
	return target->policy.hook == HOOK_AUTO ? core->config.hook : target->policy.hook;
}

static bool means_may_be_qmp(const struct core *core, const struct target *target)
{
	const enum policy_hook wanted = means_wanted(core, target);

	return target->guest.vmm.is_qemu && (wanted == HOOK_QMP || wanted == HOOK_AUTO);
}

/* What is tried first. */
static const struct merge_hook_ops *means_choose(const struct core *core, const struct target *target)
{
	const enum policy_hook wanted = means_wanted(core, target);
	const bool ring = wanted == HOOK_RING || wanted == HOOK_AUTO;

	if (ring && core->features.have[FEATURE_RING])
		return &merge_hook_ring;
	return means_may_be_qmp(core, target) ? &merge_hook_qmp : &merge_hook_none;
}

static bool means_is_attached(const struct core *core, const struct target *target)
{
	return target->hook &&
	       (target->hook->ops == means_choose(core, target) ||
		       (target->hook->ops == &merge_hook_qmp && means_may_be_qmp(core, target)));
}

static bool is_stopped(const struct core *core, const struct target *target)
{
	struct process_stat stat;

	return process_stat_read(&core->root, target_pid(target), &stat) == 0 &&
		(stat.state == 'T' || stat.state == 't');
}

/* One that was stopped is waited for as long as it is, and no longer. */
static bool is_early(const struct core *core, const struct target *target)
{
	if (target->hook_was_stopped)
		return is_stopped(core, target);
	return clock_monotonic_ns() < target->hook_retry_ns;
}

bool means_refused(const struct core *core, const struct target *target)
{
	return !target->hook && target->hook_reason[0] &&
		means_choose(core, target) != &merge_hook_none &&
		is_early(core, target);
}

bool means_were_missed(const struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		const struct target *target = core->registry.targets[i];

		if (target->hook_missed && target->hook_was_stopped && !means_refused(core, target))
			return true;
	}
	return false;
}

const char *means_name(const struct core *core, const struct target *target)
{
	return means_is_attached(core, target) ? target->hook->ops->name
					       : means_choose(core, target)->name;
}

bool means_is_whole(const struct core *core, const struct target *target)
{
	return means_is_attached(core, target) ? target->hook->ops->whole
					       : means_choose(core, target)->whole;
}

static int attach_refused(
	const struct core *core, struct target *target, int error, const char *reason)
{
	snprintf(target->hook_reason, sizeof(target->hook_reason), "%s", reason);
	target->hook_was_stopped = is_stopped(core, target);
	target->hook_retry_ns = clock_monotonic_ns() +
		(error == -EAGAIN         ? ATTACH_AGAIN_NS
			: error == -ENOSPC ? 0 /* to find that out costs nothing */
					   : ATTACH_RETRY_NS);
	return error;
}

#define NO_RING                                                                                    \
	"io_uring is not available on this host (kernel.io_uring_disabled, or feature ring disabled)"

/* Nothing to try again later: it stays so until somebody changes it. */
static int attach_unwanted(const struct core *core, struct target *target)
{
	const enum policy_hook wanted = means_wanted(core, target);

	snprintf(target->hook_reason, sizeof(target->hook_reason), "%s",
		wanted == HOOK_NONE ? "hook = none: plans are made and reported, not carried out"
		: wanted == HOOK_QMP
			? "hook = qmp: only QEMU has a monitor that could be asked"
			: NO_RING ", so nothing can be marked");
	target->hook_retry_ns = 0;
	target->hook_was_stopped = false;
	return -ENOTSUP;
}

/* -ENOSPC: there is no room for a ring; by force it is tried all the same. */
static int attach_with(struct core *core, struct target *target, const struct merge_hook_ops *ops,
	bool by_force, char reason[HOOK_REASON_BYTES])
{
	const struct hook_context context = {
		.root = &core->root,
		.attach_helper = core->attach_helper,
		.monitor = monitor_command,
		.monitor_data = core,
		.failed_cpu_ns = &core->registry.retired_helper_cpu_ns,
	};
	const uint64_t failed_before_ns = core->registry.retired_helper_cpu_ns;
	int error = ops == &merge_hook_ring && !by_force ? room_for_ring(core, target, reason) : 0;

	if (error)
		return error;
	error = ops->attach(&context, &target->guest.process, &target->hook, reason);
	target->ledger.hook_ns += core->registry.retired_helper_cpu_ns - failed_before_ns;
	if (error)
		return error;
	target->hook_reason[0] = '\0';
	log_info("%s (pid %d): attached, hook %s", target_name(target), (int)target_pid(target),
		ops->name);
	return 0;
}

/* What was tried again and is refused for the same reason has been said. */
static void refusal_log(const struct target *target, const char *reason)
{
	if (strncmp(target->hook_reason, reason, sizeof(target->hook_reason) - 1))
		log_warning("%s (pid %d): %s", target_name(target), (int)target_pid(target), reason);
}

/* hook = auto, where the ring is refused. */
static int attach_fall_back(struct core *core, struct target *target, int ring_error,
	const char *ring_reason)
{
	char reason[HOOK_REASON_BYTES] = "", both[2 * HOOK_REASON_BYTES];

	if (attach_with(core, target, &merge_hook_qmp, false, reason) == 0) {
		snprintf(target->hook_note, sizeof(target->hook_note),
			"hook qmp, whose reach is all of its memory or none, because: %s",
			ring_reason);
		log_notice("%s (pid %d): %s", target_name(target), (int)target_pid(target),
			target->hook_note);
		return 0;
	}
	snprintf(both, sizeof(both), "%s; and hook qmp: %s", ring_reason, reason);
	refusal_log(target, both);
	return attach_refused(core, target, ring_error, both);
}

static int attach(struct core *core, struct target *target, bool by_force)
{
	const struct merge_hook_ops *ops = means_choose(core, target);
	char reason[HOOK_REASON_BYTES] = "";
	int error;

	if (means_is_attached(core, target))
		return 0;
	registry_hook_detach(&core->registry, target); /* the policy names another one by now */
	target->hook_note[0] = '\0';
	if (ops == &merge_hook_none)
		return attach_unwanted(core, target);
	if (is_early(core, target))
		return -EAGAIN;
	if (ops == &merge_hook_qmp && means_wanted(core, target) == HOOK_AUTO)
		return attach_fall_back(core, target, -ENOTSUP, NO_RING);
	error = attach_with(core, target, ops, by_force, reason);
	if (!error)
		return 0;
	if (ops == &merge_hook_ring && error != -ESRCH && error != -ENOSPC &&
		means_may_be_qmp(core, target))
		return attach_fall_back(core, target, error, reason);
	refusal_log(target, reason);
	return attach_refused(core, target, error, reason);
}

int means_attach(struct core *core, struct target *target)
{
	return attach(core, target, false);
}

int means_attach_to_release(struct core *core, struct target *target, bool by_force)
{
	char reason[HOOK_REASON_BYTES];
	struct merge_hook *qmp;
	const int error = attach(core, target, by_force);

	if (error || target->hook->ops != &merge_hook_qmp ||
		means_choose(core, target) != &merge_hook_ring)
		return error;
	qmp = target->hook;
	if (attach_with(core, target, &merge_hook_ring, by_force, reason) < 0)
		return 0;
	qmp->ops->detach(qmp);
	target->hook_note[0] = '\0';
	return 0;
}

static bool means_allows(const struct core *core, const struct target *target,
	const struct merge_hook_ops *ops)
{
	return ops == means_choose(core, target) ||
	       (ops == &merge_hook_qmp && means_may_be_qmp(core, target));
}

int means_attach_by(
	struct core *core, struct target *target, const struct merge_hook_ops *ops)
{
	char reason[HOOK_REASON_BYTES] = "";
	int error;

	if (target->hook && target->hook->ops == ops)
		return 0;
	registry_hook_detach(&core->registry, target);
	target->hook_note[0] = '\0';
	if (!means_allows(core, target, ops)) {
		snprintf(target->hook_reason, sizeof(target->hook_reason), "%s",
			ops == &merge_hook_ring ? NO_RING " or not allowed by the policy"
						: "only QEMU has a monitor that could be asked");
		return -ENOTSUP;
	}
	error = attach_with(core, target, ops, false, reason);
	if (error)
		snprintf(target->hook_reason, sizeof(target->hook_reason), "%s", reason);
	return error;
}

void means_let_go(struct core *core, struct target *target)
{
	if (target->hook && target->hook->ops != means_choose(core, target))
		registry_hook_detach(&core->registry, target);
	if (target->hook)
		return;
	target->hook_reason[0] = '\0';
	target->hook_retry_ns = 0;
	target->hook_was_stopped = false;
}

static uint64_t advise_patience_ns(
	const struct target *target, const struct advice_request *requests, size_t count)
{
	uint64_t patience_ns = ADVISE_PATIENCE_NS + ADVISE_REQUEST_NS * count;

	for (size_t i = 0; target->hook->ops->whole && i < count; i++)
		patience_ns += requests[i].length / EXTENT_BYTES * WHOLE_EXTENT_NS;
	return patience_ns;
}

/* These hold the address space locked while they copy; what else is asked for takes a microsecond. */
static size_t requests_that_hold(const struct advice_request *requests, size_t count)
{
	size_t holding = 0;

	for (size_t i = 0; i < count; i++)
		holding += requests[i].advice == ADVICE_UNMERGEABLE ||
			requests[i].advice == ADVICE_COLLAPSE;
	return holding;
}

static void advise_book(struct target *target, const struct advice_request *requests, size_t count,
	uint64_t started_ns)
{
	const size_t holding = requests_that_hold(requests, count);
	const uint64_t took_ns = clock_monotonic_ns() - started_ns;

	if (!holding)
		return;
	target->cost.requests += holding;
	target->cost.delay_ns += took_ns;
	if (took_ns / holding > target->cost.longest_ns)
		target->cost.longest_ns = took_ns / holding;
}

int means_advise(struct core *core, struct target *target, struct advice_request *requests,
	size_t count)
{
	const uint64_t started_ns = clock_monotonic_ns();
	const uint64_t deadline_ns = started_ns + advise_patience_ns(target, requests, count);
	const bool whole = target->hook->ops->whole;
	int error;

	/* The ring of a stopped process is stopped too: no need to wait for that to show. */
	if (is_stopped(core, target))
		return attach_refused(
			core, target, -EAGAIN, "it is stopped; tried again when it goes on");
	target->guest.advised = true;
	error = target->hook->ops->advise(target->hook, requests, count, deadline_ns);
	advise_book(target, requests, count, started_ns);
	if (error != -ETIMEDOUT)
		return error;
	registry_hook_detach(&core->registry, target);
	return attach_refused(core, target, error,
		whole ? "QEMU or libvirt did not answer in time; what was asked may still happen, and is "
			"read back from the kernel"
		      : "its ring did not answer in time (is the process stopped or frozen?); what was asked "
		"may still happen, and is read back from the kernel");
}

void means_explain(
	const struct core *core, const struct target *target, int error, char **ret_sentence)
{
	if (!target->hook && target->hook_reason[0])
		text_set(ret_sentence, "%s", target->hook_reason);
	else if (target->hook && target->hook->trouble[0])
		text_set(ret_sentence, "%s", target->hook->trouble);
	else if (error == -EAGAIN && is_stopped(core, target))
		text_set(ret_sentence,
			"process %d is stopped, and its memory cannot be advised until it goes on "
			"(kill -CONT %d)", (int)target_pid(target), (int)target_pid(target));
	else if (error == -EAGAIN || error == -ENOMEM)
		/* madvise() says EAGAIN where memory of the kernel's own, or of the cgroup, ran out. */
		text_set(ret_sentence,
			"the kernel found no memory for it, in the cgroup or on the host, or the process "
			"has vm.max_map_count mappings");
	else
		text_set(ret_sentence, "%s", strerror(-error));
}
