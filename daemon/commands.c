// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/commands.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/account.h"
#include "daemon/log.h"
#include "daemon/release.h"

static void command_pause(struct core *core, bool pause, struct api_outcome *outcome)
{
	const bool before = core->paused;

	core->paused = pause;
	outcome->error = core_record(core);
	if (outcome->error) {
		core->paused = before;
		text_set(&outcome->message, "the state record could not be written: %s",
			strerror(-outcome->error));
		return;
	}
	if (before != pause)
		log_notice("%s by the operator", pause ? "paused" : "resumed");
}

static void target_hold(struct target *target)
{
	target->held = true;
	free(target->held_policy);
	target->held_policy = target_policy_text(&target->policy);
}

/* 0, or -errno and a sentence; there may be one on success, too. A VM whose release is refused is not held: it stays folded. */
static int command_release_one(
	struct core *core, struct target *target, bool force, char **ret_reason)
{
	_cleanup_free_ char *reason = NULL;
	int error = guest_map(&core->root, &target->guest);

	*ret_reason = NULL;
	if (!error)
		error = release_target(core, target,
			force ? RELEASE_ALL_BY_FORCE : RELEASE_ALL, &reason);
	if (error) {
		text_set(ret_reason, "%s (pid %d): %s", target_name(target), (int)target_pid(target),
			reason ? reason : strerror(-error));
		return error;
	}
	target_hold(target);
	core->index_stale = true;
	log_notice("%s (pid %d): released by the operator", target_name(target),
		(int)target_pid(target));
	if (reason)
		text_set(ret_reason, "%s (pid %d): %s", target_name(target), (int)target_pid(target),
			reason);
	return 0;
}

static void command_release(
	struct core *core, const struct api_request *request, struct api_outcome *outcome)
{
	size_t asked = 0;

	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		_cleanup_free_ char *reason = NULL;
		int error;

		if (!request->all && target_pid(target) != request->pid)
			continue;
		asked++;
		error = command_release_one(core, target, request->force, &reason);
		if ((!error && !reason) || (request->all && error == -ESRCH))
			continue;
		if (error)
			outcome->error = error;
		text_set(&outcome->message, "%s%s%s", outcome->message ? outcome->message : "",
			outcome->message ? "; " : "", reason);
	}
	if (!asked && !request->all) {
		outcome->error = -ESRCH;
		text_set(&outcome->message, "process %d has ended", (int)request->pid);
	}
	if (asked && core_record(core) < 0 && !outcome->error)
		text_set(&outcome->message, "the hold could not be recorded: it ends with the daemon");
}

static void command_end_hold(struct core *core, const struct api_request *request)
{
	struct target *target = registry_find(&core->registry, request->pid);
	int error;

	if (!target || !target->held)
		return;
	target_end_hold(target);
	core->index_stale = true;
	error = core_record(core);
	if (error)
		log_warning("%s (pid %d): that it may be folded again could not be recorded: %s",
			target_name(target), (int)target_pid(target), strerror(-error));
}

void commands_run(struct core *core, const struct api_request *request, struct api_outcome *ret)
{
	*ret = (struct api_outcome){ 0 };
	switch (request->command) {
	case API_PAUSE:
	case API_RESUME:
		command_pause(core, request->command == API_PAUSE, ret);
		break;
	case API_RELEASE:
		command_release(core, request, ret);
		break;
	case API_MATRIX: /* changes nothing: see matrix_desk.h */
		break;
	case API_END_HOLD:
		command_end_hold(core, request);
		break;
	}
}
