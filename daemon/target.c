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
	free(target->takeover_reason);
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

/* Whether the kernel still shows a mark there. *inout_at: where to begin to look in smaps, which only goes
 * on, for ranges that ascend. */
static bool shows_mark(const struct smaps_list *smaps, size_t *inout_at, uint64_t start, uint64_t end,
	uint8_t advice_before)
{
	while (*inout_at < smaps->count && smaps->vmas[*inout_at].end <= start)
		++*inout_at;
	for (size_t i = *inout_at; i < smaps->count && smaps->vmas[i].start < end; i++) {
		const uint32_t flags = smaps->vmas[i].flags;

		if (flags & VMA_MERGEABLE ||
			(flags & VMA_NOHUGEPAGE && advice_before != HUGE_ADVICE_NEVER))
			return true;
	}
	return false;
}

void target_check_marks(struct target *target)
{
	size_t at = 0;

	for (size_t i = 0; i < target->guest.map.count; i++) {
		struct extent *extent = &target->guest.map.extents[i];

		if (!extent->marked || shows_mark(&target->guest.smaps, &at, extent->start,
					       extent->end, extent->advice))
			continue;
		extent_unmark(extent);
		extent_doubt(extent);
		extent->due_ns = 0;
	}
}

/* A daemon that was killed between a release and its record left the record behind. */
int target_adopt(struct target *target, const struct state_target *recorded)
{
	for (size_t i = 0; i < recorded->extent_count; i++) {
		struct extent *extent =
			extent_map_find(&target->guest.map, recorded->extents[i].start);
		size_t at = 0; /* the record is a file: nothing says that it ascends */
		int error;

		if (!extent || extent->start != recorded->extents[i].start ||
			extent->end != recorded->extents[i].end ||
			!shows_mark(&target->guest.smaps, &at, extent->start, extent->end,
				recorded->extents[i].advice))
			continue;
		error = extent_adopt(extent, &recorded->extents[i]);
		if (error)
			return error;
	}
	target->held = recorded->held;
	target->inherited = recorded->inherited;
	target->marked_since_ticks = recorded->marked_since_ticks;
	if (recorded->held_policy) {
		target->held_policy = strdup(recorded->held_policy);
		if (!target->held_policy)
			return -ENOMEM;
	}
	return 0;
}

size_t target_marks(const struct target *target)
{
	size_t count = 0;

	for (size_t i = 0; i < target->guest.map.count; i++)
		count += target->guest.map.extents[i].marked;
	return count;
}

size_t target_huge_lost(const struct target *target)
{
	size_t count = 0;

	for (size_t i = 0; i < target->guest.map.count; i++) {
		const struct extent *extent = &target->guest.map.extents[i];

		/* What is not marked was looked at by whoever read it last. */
		count += extent->huge_lost && (extent->marked || !extent->huge);
	}
	return count;
}

bool target_was_read(const struct target *target)
{
	for (size_t i = 0; i < target->guest.map.count; i++)
		if (target->guest.map.extents[i].prints)
			return true;
	return false;
}

bool target_has_marks(const struct target *target)
{
	for (size_t i = 0; i < target->guest.map.count; i++)
		if (target->guest.map.extents[i].marked)
			return true;
	return false;
}

bool target_is_watched(const struct host_root *root, const struct target *target)
{
	return target_has_marks(target) && guest_is_watched(root, &target->guest);
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
