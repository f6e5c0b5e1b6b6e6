// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/means.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/log.h"

/* A process that refused us (stopped, memlock, ptrace) may have changed its mind. */
#define ATTACH_RETRY_NS (60 * NS_PER_S)

/* A request takes microseconds, a copying one (UNMERGEABLE or COLLAPSE of a folded extent) 10 to 20 ms. What
 * has no answer five seconds after that is a process that was stopped or frozen meanwhile. */
#define ADVISE_PATIENCE_NS (5 * NS_PER_S)
#define ADVISE_REQUEST_NS  (20 * NS_PER_MS)

static const struct merge_hook_ops *means_choose(const struct core *core, const struct target *target)
{
	const enum policy_hook wanted = target->policy.hook == HOOK_AUTO ? core->config.hook
									 : target->policy.hook;

	if (wanted == HOOK_NONE || !core->features.have[FEATURE_RING])
		return &merge_hook_none;
	return &merge_hook_ring;
}

bool means_refused(const struct core *core, const struct target *target)
{
	return !target->hook && target->hook_reason[0] &&
		means_choose(core, target) == &merge_hook_ring &&
		clock_monotonic_ns() < target->hook_retry_ns;
}

const char *means_name(const struct core *core, const struct target *target)
{
	return means_choose(core, target)->name;
}

static int attach_refused(struct target *target, int error, const char *reason)
{
	snprintf(target->hook_reason, sizeof(target->hook_reason), "%s", reason);
	target->hook_retry_ns = clock_monotonic_ns() + ATTACH_RETRY_NS;
	return error;
}

/* Nothing to try again later: it stays so until somebody changes it. */
static int attach_unwanted(const struct core *core, struct target *target)
{
	snprintf(target->hook_reason, sizeof(target->hook_reason), "%s",
		core->features.have[FEATURE_RING]
			? "hook = none: plans are made and reported, not carried out"
			: "io_uring is not available on this host (kernel.io_uring_disabled, or "
			  "feature ring disabled), so nothing can be marked");
	target->hook_retry_ns = 0;
	return -ENOTSUP;
}

int means_attach(struct core *core, struct target *target)
{
	const struct merge_hook_ops *ops = means_choose(core, target);
	const struct hook_context context = {
		.root = &core->root,
		.attach_helper = core->attach_helper,
	};
	char reason[HOOK_REASON_BYTES] = "";
	int error;

	if (target->hook && target->hook->ops == ops)
		return 0;
	registry_hook_detach(&core->registry, target); /* the policy names another one by now */
	if (ops == &merge_hook_none)
		return attach_unwanted(core, target);
	if (clock_monotonic_ns() < target->hook_retry_ns)
		return -EAGAIN;
	error = ops->attach(&context, &target->guest.process, &target->hook, reason);
	if (error) {
		log_warning("%s (pid %d): %s", target_name(target), (int)target_pid(target), reason);
		return attach_refused(target, error, reason);
	}
	target->hook_reason[0] = '\0';
	log_info("%s (pid %d): attached, hook %s", target_name(target), (int)target_pid(target),
		ops->name);
	return 0;
}

int means_advise(struct core *core, struct target *target, struct advice_request *requests,
	size_t count)
{
	const uint64_t deadline_ns =
		clock_monotonic_ns() + ADVISE_PATIENCE_NS + ADVISE_REQUEST_NS * count;
	struct process_stat stat;
	int error;

	/* The ring of a stopped process is stopped too: no need to wait for that to show. */
	if (process_stat_read(&core->root, target_pid(target), &stat) == 0 &&
		(stat.state == 'T' || stat.state == 't'))
		return attach_refused(target, -EAGAIN, "it is stopped; tried again when it goes on");
	error = target->hook->ops->advise(target->hook, requests, count, deadline_ns);
	if (error != -ETIMEDOUT)
		return error;
	registry_hook_detach(&core->registry, target);
	return attach_refused(target, error,
		"its ring did not answer in time (is the process stopped or frozen?); what was asked "
		"may still happen, and is read back from the kernel");
}

static bool is_stopped(const struct core *core, const struct target *target)
{
	struct process_stat stat;

	return process_stat_read(&core->root, target_pid(target), &stat) == 0 &&
		(stat.state == 'T' || stat.state == 't');
}

void means_explain(
	const struct core *core, const struct target *target, int error, char **ret_sentence)
{
	if (!target->hook && target->hook_reason[0])
		text_set(ret_sentence, "%s", target->hook_reason);
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
