// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"

#define STATE_FORMAT 1
#define STATE_FILE   "state.json"

#define FILE_STEP_BYTES ((size_t)64 << 10)

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

/* ---- to JSON ---- */

/* JSON integers are signed; addresses of user space fit. */
static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *shared_json(const uint8_t *shared)
{
	char hex[2 * EXTENT_PAGES + 1];

	if (!shared)
		return json_null();
	for (unsigned i = 0; i < EXTENT_PAGES; i++)
		snprintf(hex + 2 * i, 3, "%02x", shared[i]);
	return json_string(hex);
}

static json_t *extent_json(const struct state_extent *extent)
{
	return json_pack("{s:o, s:o, s:i, s:i, s:b, s:o}", "start", number(extent->start), "end",
		number(extent->end), "advice", (int)extent->advice, "zero_before",
		(int)extent->zero_before, "was_huge", (int)extent->was_huge, "shared_before",
		shared_json(extent->shared_before));
}

static json_t *target_json(const struct state_target *target)
{
	_cleanup_json_ json_t *extents = json_array();

	for (size_t i = 0; i < target->extent_count; i++)
		if (json_array_append_new(extents, extent_json(&target->extents[i])) < 0)
			return NULL;
	return json_pack("{s:i, s:o, s:b, s:b, s:o, s:s?, s:O}", "pid", (int)target->id.pid,
		"start_ticks", number(target->id.start_ticks), "held", (int)target->held, "inherited",
		(int)target->inherited, "marked_since_ticks", number(target->marked_since_ticks),
		"held_policy", target->held_policy, "extents", extents);
}

static json_t *knobs_json(const struct state *state)
{
	const struct ksm_knobs *knobs = &state->knobs;

	if (!state->have_knobs)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "run", (json_int_t)knobs->run,
		"pages_to_scan", (json_int_t)knobs->pages_to_scan, "sleep_millisecs",
		(json_int_t)knobs->sleep_millisecs, "smart_scan", (json_int_t)knobs->smart_scan,
		"use_zero_pages", (json_int_t)knobs->use_zero_pages, "advisor_scan_time",
		(json_int_t)knobs->advisor_scan_time);
}

static json_t *state_json(const struct state *state)
{
	_cleanup_json_ json_t *targets = json_array();

	for (size_t i = 0; i < state->target_count; i++)
		if (json_array_append_new(targets, target_json(&state->targets[i])) < 0)
			return NULL;
	return json_pack("{s:i, s:s, s:b, s:s, s:o, s:O}", "format", STATE_FORMAT, "boot_id",
		state->boot_id, "paused", (int)state->paused, "active_group", state->active_group,
		"ksm_knobs", knobs_json(state), "targets", targets);
}

/* ---- to disk ---- */

static int file_write_synced(int dir_fd, const char *name, const char *text)
{
	_cleanup_close_ int fd =
		openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t left = strlen(text);

	if (fd < 0)
		return -errno;
	while (left) {
		const ssize_t written = write(fd, text, left);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		text += written;
		left -= (size_t)written;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int state_save(const char *state_dir, const struct state *state)
{
	_cleanup_close_ int dir_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_json_ json_t *json = NULL;
	_cleanup_free_ char *text = NULL;
	int error;

	if (dir_fd < 0)
		return -errno;
	json = state_json(state);
	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	if (!text)
		return -ENOMEM;
	error = file_write_synced(dir_fd, STATE_FILE ".new", text);
	if (error)
		return error;
	if (renameat(dir_fd, STATE_FILE ".new", dir_fd, STATE_FILE) < 0 || fsync(dir_fd) < 0)
		return -errno;
	return 0;
}

/* ---- from JSON ---- */

static int shared_parse(const char *hex, uint8_t **ret)
{
	uint8_t *shared;

	if (!hex)
		return 0;
	if (strlen(hex) != 2 * EXTENT_PAGES || strspn(hex, "0123456789abcdef") != strlen(hex))
		return -EBADMSG;
	shared = malloc(EXTENT_PAGES);
	if (!shared)
		return -ENOMEM;
	for (unsigned i = 0; i < EXTENT_PAGES; i++) {
		const char digits[3] = { hex[2 * i], hex[2 * i + 1], 0 };

		shared[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	*ret = shared;
	return 0;
}

static int extent_parse(json_t *json, struct state_extent *ret)
{
	json_int_t start, end, advice, zero_before;
	const char *shared = NULL;
	int was_huge;

	if (json_unpack(json, "{s:I, s:I, s:I, s:I, s:b, s?s}", "start", &start, "end", &end,
		    "advice", &advice, "zero_before", &zero_before, "was_huge", &was_huge,
		    "shared_before", &shared) < 0 &&
		json_unpack(json, "{s:I, s:I, s:I, s:I, s:b, s:n}", "start", &start, "end", &end,
			"advice", &advice, "zero_before", &zero_before, "was_huge", &was_huge,
			"shared_before") < 0)
		return -EBADMSG;
	if (start < 0 || end <= start || start % 4096 || end % 4096 ||
		end - start > (json_int_t)EXTENT_BYTES || advice < HUGE_ADVICE_NONE ||
		advice > HUGE_ADVICE_NEVER || zero_before < 0 || zero_before > (int)EXTENT_PAGES)
		return -EBADMSG;
	*ret = (struct state_extent){
		.start = (uint64_t)start,
		.end = (uint64_t)end,
		.advice = (uint8_t)advice,
		.zero_before = (uint16_t)zero_before,
		.was_huge = was_huge,
	};
	return shared_parse(shared, &ret->shared_before);
}

static int target_parse(json_t *json, struct state_target *target)
{
	json_t *extents, *extent, *held_policy;
	json_int_t pid, start, marked_since = 0;
	int held, inherited = 0;
	size_t i;

	if (json_unpack(json, "{s:I, s:I, s:b, s?b, s?I, s:o, s:o}", "pid", &pid, "start_ticks",
		    &start, "held", &held, "inherited", &inherited, "marked_since_ticks",
		    &marked_since, "held_policy", &held_policy, "extents", &extents) < 0 ||
		pid <= 0 || pid > INT_MAX || start < 0 || marked_since < 0 ||
		!json_is_array(extents))
		return -EBADMSG;
	target->id = (struct process_id){ (pid_t)pid, (uint64_t)start };
	target->held = held;
	target->inherited = inherited;
	target->marked_since_ticks = (uint64_t)marked_since;
	if (json_is_string(held_policy)) {
		target->held_policy = strdup(json_string_value(held_policy));
		if (!target->held_policy)
			return -ENOMEM;
	}
	target->extents = calloc(json_array_size(extents) + 1, sizeof(*target->extents));
	if (!target->extents)
		return -ENOMEM;
	json_array_foreach(extents, i, extent) {
		const int error = extent_parse(extent, &target->extents[i]);

		if (error)
			return error;
		target->extent_count++;
	}
	return 0;
}

static int knobs_parse(json_t *json, struct state *state)
{
	json_int_t run, pages, sleep, smart, zero, advisor;

	if (json_is_null(json))
		return 0;
	if (json_unpack(json, "{s:I, s:I, s:I, s:I, s:I, s:I}", "run", &run, "pages_to_scan",
		    &pages, "sleep_millisecs", &sleep, "smart_scan", &smart, "use_zero_pages",
		    &zero, "advisor_scan_time", &advisor) < 0)
		return -EBADMSG;
	state->have_knobs = true;
	state->knobs = (struct ksm_knobs){
		.run = run,
		.pages_to_scan = pages,
		.sleep_millisecs = sleep,
		.smart_scan = smart,
		.use_zero_pages = zero,
		.advisor_scan_time = advisor,
	};
	return 0;
}

static int state_from_json(json_t *json, struct state *state)
{
	const char *boot_id, *group;
	json_t *knobs, *targets, *target;
	json_int_t format;
	int paused, error;
	size_t i;

	if (json_unpack(json, "{s:I, s:s, s:b, s:s, s:o, s:o}", "format", &format, "boot_id",
		    &boot_id, "paused", &paused, "active_group", &group, "ksm_knobs", &knobs,
		    "targets", &targets) < 0 ||
		format != STATE_FORMAT || !json_is_array(targets) ||
		strlen(group) >= sizeof(state->active_group) ||
		strlen(boot_id) >= sizeof(state->boot_id))
		return -EBADMSG;
	snprintf(state->boot_id, sizeof(state->boot_id), "%s", boot_id);
	snprintf(state->active_group, sizeof(state->active_group), "%s", group);
	state->paused = paused;
	error = knobs_parse(knobs, state);
	if (error)
		return error;
	state->targets = calloc(json_array_size(targets) + 1, sizeof(*state->targets));
	if (!state->targets)
		return -ENOMEM;
	json_array_foreach(targets, i, target) {
		state->target_count++;
		error = target_parse(target, &state->targets[i]);
		if (error)
			return error;
	}
	return 0;
}

/* Marks, knobs and pids are gone with the boot they were made in. */
static void state_keep_wishes(struct state *state, const char *boot_id)
{
	const bool paused = state->paused;

	state_done(state);
	state->paused = paused;
	snprintf(state->boot_id, sizeof(state->boot_id), "%s", boot_id);
}

int state_parse(const char *text, size_t length, const char *boot_id, struct state *ret)
{
	_cleanup_json_ json_t *json = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
	struct state state = { 0 };
	const int error = json ? state_from_json(json, &state) : -EBADMSG;

	if (error) {
		state_done(&state);
		return error;
	}
	if (strcmp(state.boot_id, boot_id))
		state_keep_wishes(&state, boot_id);
	*ret = state;
	return 0;
}

/* ---- from disk ---- */

static int file_read(const char *path, char **ret_text, size_t *ret_length)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t length = 0, room = 0;

	if (!file)
		return -errno;
	do {
		char *const more = length < room ? text : realloc(text, room += FILE_STEP_BYTES);

		if (!more)
			return -ENOMEM;
		text = more;
		length += fread(text + length, 1, room - length, file);
		if (ferror(file))
			return errno ? -errno : -EIO;
	} while (!feof(file));
	*ret_text = steal_pointer(&text);
	*ret_length = length;
	return 0;
}

int state_load(const char *state_dir, const char *boot_id, struct state *ret)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	size_t length = 0;
	int error;

	if (asprintf(&path, "%s/" STATE_FILE, state_dir) < 0)
		return -ENOMEM;
	error = file_read(path, &text, &length);
	if (error == -ENOENT) {
		*ret = (struct state){ 0 };
		snprintf(ret->boot_id, sizeof(ret->boot_id), "%s", boot_id);
		return 0;
	}
	return error ? error : state_parse(text, length, boot_id, ret);
}

static void state_target_done(struct state_target *target)
{
	for (size_t e = 0; e < target->extent_count; e++)
		free(target->extents[e].shared_before);
	free(target->extents);
	free(target->held_policy);
}

void state_done(struct state *state)
{
	for (size_t t = 0; t < state->target_count; t++)
		state_target_done(&state->targets[t]);
	free(state->targets);
	*state = (struct state){ 0 };
}

const struct state_target *state_find(const struct state *state, struct process_id id)
{
	for (size_t i = 0; i < state->target_count; i++)
		if (process_id_equal(state->targets[i].id, id))
			return &state->targets[i];
	return NULL;
}

void state_forget(struct state *state, struct process_id id)
{
	for (size_t i = 0; i < state->target_count; i++) {
		if (!process_id_equal(state->targets[i].id, id))
			continue;
		state_target_done(&state->targets[i]);
		state->target_count--;
		memmove(&state->targets[i], &state->targets[i + 1],
			(state->target_count - i) * sizeof(*state->targets));
		return;
	}
}

bool state_find_pid(const struct state *state, pid_t pid)
{
	for (size_t i = 0; i < state->target_count; i++)
		if (state->targets[i].id.pid == pid)
			return true;
	return false;
}
