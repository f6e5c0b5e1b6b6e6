// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/groups.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/log.h"
#include "daemon/release.h"

bool group_has_marks(const struct core *core, const char *group)
{
	for (size_t i = 0; i < core->registry.count; i++)
		if (!strcmp(core->registry.targets[i]->policy.group, group) &&
			target_has_marks(core->registry.targets[i]))
			return true;
	return false;
}

bool group_wants_folds(const struct core *core, const char *group)
{
	for (size_t i = 0; i < core->registry.count; i++)
		if (target_wants_folds(core->registry.targets[i], group))
			return true;
	return false;
}

bool group_is_asked_for(const struct core *core, const char *group)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		const struct target *target = core->registry.targets[i];

		if (target->policy.mode == MODE_MERGE && !target->held &&
			!strcmp(target->policy.group, group))
			return true;
	}
	return false;
}

bool is_group_leader(const struct core *core, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (!strcmp(core->registry.targets[i]->policy.group,
			    core->registry.targets[index]->policy.group))
			return false;
	return true;
}

/* Whether all that the group has folded can be given back at once. *ret_reason: why not. */
static bool group_fits(struct core *core, const char *group, char **ret_reason)
{
	uint64_t total = 0;
	pid_t pid = 0;

	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		uint64_t need;

		if (strcmp(target->policy.group, group) != 0 || !target_has_marks(target))
			continue;
		pid = target_pid(target);
		need = release_need_bytes(core, target);
		total += need;
		if (release_headroom(core, pid, need, ret_reason) < 0)
			return false;
	}
	return !pid || release_headroom(core, pid, total, ret_reason) == 0;
}

void group_switch(struct core *core, const char *group)
{
	_cleanup_free_ char *reason = NULL;

	if (!strcmp(core->active_group, group))
		return;
	if (core->active_group[0] && !group_fits(core, core->active_group, &reason)) {
		sentences_add(&core->findings,
			"group %s stays active, since what its VMs have folded would have to be given "
			"back before group %s takes over: %s",
			core->active_group, group, reason ? reason : "?");
		return;
	}
	if (core->active_group[0])
		log_notice("group %s takes over from %s", group, core->active_group);
	snprintf(core->active_group, sizeof(core->active_group), "%s", group);
	core->index_stale = true;
}

bool groups_switch_awaits(const struct core *core)
{
	return core->config.active_group[0] && strcmp(core->config.active_group, core->active_group) != 0;
}

void groups_follow_config(struct core *core)
{
	if (core->config.active_group[0])
		group_switch(core, core->config.active_group);
}
