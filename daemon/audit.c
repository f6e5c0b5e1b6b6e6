// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/audit.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/core.h"
#include "daemon/foreign.h"
#include "daemon/groups.h"
#include "daemon/log.h"
#include "daemon/release.h"
#include "daemon/takeover.h"

/* For so long `status` tells of a finding that was put right; the log keeps it for good. */
#define FINDING_SHOWN_NS (3600 * NS_PER_S)

/* More names than that help nobody. */
#define NAMES_MOST 8

/* ---- when ---- */

void audit_burst_begins(struct core *core)
{
	core->audit.due = true;
}

void audit_burst_ended(struct core *core)
{
	struct stranger *strangers;
	size_t count;

	/* Nobody is mergeable besides: whoever was in the meantime has taken its pages back with
	 * the mark. */
	if (foreign_survey(core, SURVEY_QUICK, &strangers, &count) < 0) {
		core->audit.at_once = true;
		return;
	}
	free(strangers);
	core->audit.at_once = count > 0;
	core->audit.due = count > 0;
}

/* ---- what was found ---- */

static void name_add(char **names, const struct stranger *stranger, uint64_t frames)
{
	text_set(names, "%s%s%s (pid %d): %llu", *names ? *names : "", *names ? ", " : "",
		stranger->name, (int)stranger->pid, (unsigned long long)frames);
}

static char *names_of(const struct stranger *strangers, size_t count, const uint64_t *frames)
{
	char *names = NULL;
	size_t named = 0;

	for (size_t i = 0; i < count && named < NAMES_MOST; i++)
		if (frames[i]) {
			name_add(&names, &strangers[i], frames[i]);
			named++;
		}
	return names;
}

/* known: so many frames were left shared by the audit before. */
static void finding_tell(
	struct core *core, const char *names, uint64_t frames, uint64_t known, const char *reason)
{
	struct audit *audit = &core->audit;

	if (!audit->due)
		text_set(&audit->finding,
			"%llu frames of group %s had come to be shared with memory that was not "
			"asked for (%s); copies were made, and none is shared any more",
			(unsigned long long)frames, core->active_group, names);
	else
		text_set(&audit->finding,
			"%llu frames of group %s are shared with memory that was not asked for "
			"(%s), and %llu of them stay so: %s; it is tried again with every pass",
			(unsigned long long)frames, core->active_group, names,
			(unsigned long long)audit->left,
			reason ? reason : "the hook does not reach them");
	audit->finding_until_ns = clock_monotonic_ns() + FINDING_SHOWN_NS;
	/* What cannot be put right is the same with every pass, and said once. */
	if (!known || !audit->due)
		log_warning("%s", audit->finding);
}

/* Nothing is shared, and nothing is left to do. */
static void audit_settle(struct audit *audit)
{
	if (audit->left) {
		log_notice("the frames that memory which was not asked for had a share in are "
			   "apart now");
		free(steal_pointer(&audit->finding));
	}
	audit->left = 0;
	audit->due = false;
}

/* ---- putting it right ---- */

/* again: that it does not succeed has been said. */
static void strangers_unmark(struct core *core, const struct stranger *strangers, size_t count,
	const uint64_t *frames, bool again)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_free_ char *reason = NULL;

		if (!frames[i] || strangers[i].merge_any)
			continue;
		if (takeover_stranger(core, &strangers[i], &reason) == 0)
			log_notice("%s (pid %d): its memory is not mergeable any more (take-over)",
				strangers[i].name, (int)strangers[i].pid);
		else if (!again)
			log_notice("%s (pid %d): its memory could not be made not mergeable "
				   "(take-over): %s; what it shares is copied for group %s",
				strangers[i].name, (int)strangers[i].pid, reason ? reason : "?",
				core->active_group);
	}
}

static void exposed_release(struct core *core, char **reason)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		_cleanup_free_ char *refusal = NULL;
		bool exposed = false;

		for (size_t e = 0; e < target->guest.map.count && !exposed; e++)
			exposed = target->guest.map.extents[e].exposed;
		if (exposed && release_target(core, target, RELEASE_EXPOSED, &refusal) < 0)
			text_set(reason, "%s (pid %d): %s", target_name(target),
				(int)target_pid(target), refusal ? refusal : "?");
	}
}

/* 0, and how many frames are still shared; or -errno. */
static int frames_part(struct core *core, const struct stranger *strangers, size_t count,
	const uint64_t *found, char **reason)
{
	_cleanup_free_ uint64_t *counts = calloc(count, sizeof(*counts));
	const bool again = core->audit.left > 0;
	int error = counts ? 0 : -ENOMEM;

	core->audit.left = 0;
	if (!error && core->config.take_over) {
		strangers_unmark(core, strangers, count, found, again);
		error = audit_compare(core, strangers, count, counts, &core->audit.left);
		if (!error && !core->audit.left)
			return 0;
	}
	exposed_release(core, reason);
	/* What is said is what the page tables say. */
	return error ? error : audit_compare(core, strangers, count, counts, &core->audit.left);
}

static int audit_strangers(struct core *core, const struct stranger *strangers, size_t count)
{
	_cleanup_free_ uint64_t *found = calloc(count, sizeof(*found));
	_cleanup_free_ char *names = NULL, *reason = NULL;
	const uint64_t known = core->audit.left;
	uint64_t frames;
	int error;

	if (!found)
		return -ENOMEM;
	error = audit_compare(core, strangers, count, found, &frames);
	if (!error && !frames)
		audit_settle(&core->audit);
	if (error || !frames)
		return error;
	names = names_of(strangers, count, found);
	error = frames_part(core, strangers, count, found, &reason);
	if (error)
		return error;
	core->audit.due = core->audit.left > 0;
	core->audit.frames += frames > known ? frames - known : 0;
	finding_tell(core, names ? names : "?", frames, known, reason);
	return 0;
}

static int audit_run(struct core *core)
{
	_cleanup_free_ struct stranger *strangers = NULL;
	size_t count = 0;
	int error = 0;

	if (group_has_marks(core, core->active_group))
		error = foreign_survey(core, SURVEY_QUICK, &strangers, &count);
	if (!error && count)
		return audit_strangers(core, strangers, count);
	if (!error)
		audit_settle(&core->audit);
	return error;
}

void audit_take(struct core *core)
{
	struct audit *audit = &core->audit;
	int error = 0;

	audit->at_once = false;
	if (audit->due)
		error = audit_run(core);
	if (error)
		sentences_add(&core->findings,
			"whether somebody else shares frames of group %s could not be found out: "
			"%s",
			core->active_group, strerror(-error));
	if (audit->finding && !audit->due && clock_monotonic_ns() >= audit->finding_until_ns)
		free(steal_pointer(&audit->finding));
	if (audit->finding)
		sentences_add(&core->findings, "%s", audit->finding);
}

void audit_done(struct audit *audit)
{
	free(audit->finding);
	*audit = (struct audit){ 0 };
}
