// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/core.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sentences_add(struct sentences *sentences, const char *format, ...)
{
	char **texts = reallocarray(sentences->texts, sentences->count + 2, sizeof(char *));
	va_list arguments;

	if (!texts)
		return;
	sentences->texts = texts;
	va_start(arguments, format);
	if (vasprintf(&texts[sentences->count], format, arguments) >= 0)
		sentences->count++;
	va_end(arguments);
	texts[sentences->count] = NULL;
}

void sentences_clear(struct sentences *sentences)
{
	for (size_t i = 0; i < sentences->count; i++)
		free(sentences->texts[i]);
	free(sentences->texts);
	*sentences = (struct sentences){ 0 };
}

/* The record borrows the extents' map counts: it must not be freed by state_done(). */
static size_t marks_collect(const struct target *target, struct state_extent *out)
{
	size_t count = 0;

	for (size_t i = 0; i < target->guest.map.count; i++) {
		const struct extent *extent = &target->guest.map.extents[i];

		if (!extent->marked)
			continue;
		if (out)
			out[count] = (struct state_extent){
				.start = extent->start,
				.end = extent->end,
				.advice = extent->advice,
				.zero_before = extent->zero_before,
				.was_huge = extent->was_huge,
				.shared_before = extent->shared_before,
			};
		count++;
	}
	return count;
}

int core_record(const struct core *core)
{
	const size_t target_count = core->registry.count;
	_cleanup_free_ struct state_target *targets =
		calloc(target_count ? target_count : 1, sizeof(*targets));
	_cleanup_free_ struct state_extent *extents = NULL;
	struct state state = {
		.paused = core->paused,
		.have_knobs = core->driver.owes,
		.knobs = core->driver.owed,
		.targets = targets,
	};
	size_t total = 0;

	for (size_t i = 0; i < target_count; i++)
		total += marks_collect(core->registry.targets[i], NULL);
	extents = calloc(total ? total : 1, sizeof(*extents));
	if (!targets || !extents)
		return -ENOMEM;
	memcpy(state.boot_id, core->recorded.boot_id, sizeof(state.boot_id));
	memcpy(state.active_group, core->active_group, sizeof(state.active_group));
	total = 0;
	for (size_t i = 0; i < target_count; i++) {
		const struct target *target = core->registry.targets[i];
		const size_t marks = marks_collect(target, extents + total);

		if (!marks && !target->held)
			continue;
		targets[state.target_count++] = (struct state_target){
			.id = target->guest.process.id,
			.held = target->held,
			.held_policy = target->held_policy,
			.extents = extents + total,
			.extent_count = marks,
		};
		total += marks;
	}
	return state_save(core->state_dir, &state);
}
