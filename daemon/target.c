// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/target.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

void text_set(char **text, const char *format, ...)
{
	char *replacement;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&replacement, format, arguments) >= 0) {
		free(*text);
		*text = replacement;
	}
	va_end(arguments);
}

struct target *target_free(struct target *target)
{
	if (!target)
		return NULL;
	if (target->hook)
		target->hook->ops->detach(target->hook);
	guest_done(&target->guest);
	free(target->policy_source);
	free(target->policy_error);
	free(target->held_policy);
	free(target->reason);
	free(target->trouble);
	free(target);
	return NULL;
}

int target_new(const struct host_root *root, pid_t pid, bool allow_pagemap_scan, struct target **ret)
{
	struct target *target = calloc(1, sizeof(*target));
	int error;

	if (!target)
		return -ENOMEM;
	error = guest_open(root, pid, allow_pagemap_scan, &target->guest);
	if (error) {
		free(target);
		return error;
	}
	*ret = target;
	return 0;
}

static int extent_adopt(struct extent *extent, const struct state_extent *recorded)
{
	uint8_t *shared = NULL;

	if (recorded->shared_before) {
		shared = malloc(EXTENT_PAGES);
		if (!shared)
			return -ENOMEM;
		memcpy(shared, recorded->shared_before, EXTENT_PAGES);
	}
	free(extent->shared_before);
	extent->shared_before = shared;
	extent->marked = true;
	extent->advice = recorded->advice;
	extent->was_huge = recorded->was_huge;
	extent->zero_before = recorded->zero_before;
	return 0;
}

/* Whether the kernel still shows what the record says: a daemon that was killed between a release and its
 * record left the record behind. */
static bool is_still_marked(const struct smaps_list *smaps, const struct state_extent *recorded)
{
	for (size_t i = 0; i < smaps->count; i++) {
		const struct vma *vma = &smaps->vmas[i];

		if (vma->end <= recorded->start || vma->start >= recorded->end)
			continue;
		if (vma->flags & VMA_MERGEABLE ||
			(vma->flags & VMA_NOHUGEPAGE && recorded->advice != HUGE_ADVICE_NEVER))
			return true;
	}
	return false;
}

int target_adopt(struct target *target, const struct state_target *recorded)
{
	for (size_t i = 0; i < recorded->extent_count; i++) {
		struct extent *extent =
			extent_map_find(&target->guest.map, recorded->extents[i].start);
		int error;

		if (!extent || extent->start != recorded->extents[i].start ||
			extent->end != recorded->extents[i].end ||
			!is_still_marked(&target->guest.smaps, &recorded->extents[i]))
			continue;
		error = extent_adopt(extent, &recorded->extents[i]);
		if (error)
			return error;
	}
	target->held = recorded->held;
	if (recorded->held_policy) {
		target->held_policy = strdup(recorded->held_policy);
		if (!target->held_policy)
			return -ENOMEM;
	}
	return 0;
}

bool target_has_marks(const struct target *target)
{
	for (size_t i = 0; i < target->guest.map.count; i++)
		if (target->guest.map.extents[i].marked)
			return true;
	return false;
}

bool target_wants_folds(const struct target *target, const char *active_group)
{
	return target->mapped && !target->held && target->policy.mode == MODE_MERGE &&
		!strcmp(target->policy.group, active_group);
}

void target_end_hold(struct target *target)
{
	target->held = false;
	free(target->held_policy);
	target->held_policy = NULL;
}

char *target_policy_text(const struct policy *policy)
{
	char *text;

	if (asprintf(&text, "%s %s %s %s", policy_mode_name(policy->mode), policy->group,
		    policy_hook_name(policy->hook),
		    policy_hugepages_name(policy->hugepages)) < 0)
		return NULL;
	return text;
}
