// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/event_diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/event_log.h"

#define MIB (INT64_C(1) << 20)

/* What was told since the last look, in order. */
static json_t *told;

static void on_event(void *arg, json_t *event)
{
	assert_null(arg);
	assert_non_null(event);
	assert_int_equal(json_array_append_new(told, event), 0);
}

static struct snapshot *made(uint64_t pass, size_t vms)
{
	struct snapshot *snapshot = snapshot_new();

	assert_non_null(snapshot);
	snapshot->pass_number = pass;
	snapshot->vm_count = vms;
	snapshot->vms = calloc(vms + 1, sizeof(*snapshot->vms));
	assert_non_null(snapshot->vms);
	for (size_t i = 0; i < vms; i++) {
		struct snapshot_vm *vm = &snapshot->vms[i];

		snapshot_vm_init(vm);
		vm->name = strdup("web");
		vm->pid = (pid_t)(101 + i);
		vm->started_ticks = 7;
		vm->reclaimed_bytes = 0;
		strcpy(vm->group, "default");
	}
	return snapshot;
}

static char **sentences(const char *one, const char *other)
{
	char **list = calloc(3, sizeof(*list));

	list[0] = one ? strdup(one) : NULL;
	list[1] = other ? strdup(other) : NULL;
	return list;
}

/* "event event ...", and forgets them. */
static const char *events_of(json_t *list)
{
	static char text[512];
	const json_t *event;
	size_t i;

	text[0] = '\0';
	json_array_foreach(list, i, event)
	{
		const size_t length = strlen(text);

		snprintf(text + length, sizeof(text) - length, "%s%s", i ? " " : "",
			json_string_value(json_object_get(event, "event")));
	}
	return text;
}

/* Takes the snapshot. */
static void step(struct event_diff *diff, struct snapshot *snapshot)
{
	json_decref(told);
	told = json_array();
	event_diff_step(diff, snapshot, on_event, NULL);
	snapshot_unref(snapshot);
}

static void begin(struct event_diff *diff, struct snapshot *snapshot)
{
	event_diff_begin(diff, snapshot);
	snapshot_unref(snapshot);
}

static int teardown(void **state)
{
	(void)state;
	json_decref(told);
	told = NULL;
	return 0;
}

static json_int_t told_number(size_t event, const char *key)
{
	return json_integer_value(json_object_get(json_array_get(told, event), key));
}

static void test_the_same_again_is_nothing_new(void **state)
{
	_cleanup_(event_diff_end) struct event_diff diff;
	struct snapshot *snapshot = made(1, 2);

	(void)state;
	begin(&diff, snapshot_ref(snapshot));
	step(&diff, snapshot);
	assert_string_equal(events_of(told), "");
	step(&diff, made(1, 2));
	assert_string_equal(events_of(told), "");
	step(&diff, made(2, 2));
	assert_string_equal(events_of(told), "pass");
	assert_int_equal(told_number(0, "number"), 2);
	assert_true(json_is_null(json_object_get(json_array_get(told, 0), "reclaimed_bytes")));
}

static void test_vms_come_and_go_and_a_pid_that_is_used_again_is_another(void **state)
{
	_cleanup_(event_diff_end) struct event_diff diff;
	struct snapshot *snapshot;

	(void)state;
	begin(&diff, made(1, 1));
	step(&diff, made(1, 2));
	assert_string_equal(events_of(told), "vm-came vm-policy");
	assert_int_equal(told_number(0, "pid"), 102);
	step(&diff, made(1, 0));
	assert_string_equal(events_of(told), "vm-went vm-went");
	step(&diff, made(1, 1));
	snapshot = made(1, 1);
	snapshot->vms[0].started_ticks = 8;
	step(&diff, snapshot);
	assert_string_equal(events_of(told), "vm-went vm-came vm-policy");
}

static void test_states_and_policies_are_told_when_they_change(void **state)
{
	_cleanup_(event_diff_end) struct event_diff diff;
	struct snapshot *snapshot = made(1, 3);
	const json_t *event;

	(void)state;
	begin(&diff, made(1, 3));
	snapshot->vms[1].state = VM_FOLDING;
	snapshot->vms[2].mode = MODE_MERGE;
	strcpy(snapshot->vms[2].group, "web");
	step(&diff, snapshot);
	assert_string_equal(events_of(told), "vm-state vm-policy");
	event = json_array_get(told, 0);
	assert_string_equal(json_string_value(json_object_get(event, "state")), "folding");
	assert_string_equal(json_string_value(json_object_get(event, "was")), "observed");
	event = json_array_get(told, 1);
	assert_string_equal(json_string_value(json_object_get(event, "mode")), "merge");
	assert_string_equal(json_string_value(json_object_get(event, "group")), "web");
	assert_int_equal(told_number(1, "pid"), 103);
}

static void step_reclaimed(struct event_diff *diff, int64_t bytes)
{
	struct snapshot *snapshot = made(1, 1);

	snapshot->vms[0].reclaimed_bytes = bytes;
	step(diff, snapshot);
}

static void test_small_changes_of_what_is_folded_are_told_together(void **state)
{
	_cleanup_(event_diff_end) struct event_diff diff;

	(void)state;
	begin(&diff, made(1, 1));
	step_reclaimed(&diff, MIB / 2);
	assert_string_equal(events_of(told), "");
	step_reclaimed(&diff, MIB);
	assert_string_equal(events_of(told), "folded");
	assert_int_equal(told_number(0, "bytes"), MIB);
	step_reclaimed(&diff, NOT_MEASURED);
	assert_string_equal(events_of(told), "");
	step_reclaimed(&diff, MIB / 4);
	assert_string_equal(events_of(told), "");
	/* What is left at last is told, however little. */
	step_reclaimed(&diff, 0);
	assert_string_equal(events_of(told), "unfolded");
	assert_int_equal(told_number(0, "bytes"), MIB);
	assert_int_equal(told_number(0, "reclaimed_bytes"), 0);
}

static void test_sentences_are_compared_at_the_end_of_passes_only(void **state)
{
	_cleanup_(event_diff_end) struct event_diff diff;
	struct snapshot *snapshot = made(1, 0);

	(void)state;
	snapshot->warnings = sentences("one", "two");
	begin(&diff, snapshot);
	step(&diff, made(1, 0)); /* in the middle of a pass: not said yet */
	assert_string_equal(events_of(told), "");
	snapshot = made(2, 0);
	snapshot->warnings = sentences("two", "three");
	snapshot->blocked_by = sentences("stop", NULL);
	step(&diff, snapshot);
	assert_string_equal(events_of(told), "pass blocked warning warning-over");
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(told, 2), "text")), "three");
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(told, 3), "text")), "one");
	step(&diff, made(3, 0));
	assert_string_equal(events_of(told), "pass unblocked warning-over warning-over");
}

static void test_pauses_and_the_active_group_are_told(void **state)
{
	_cleanup_(event_diff_end) struct event_diff diff;
	struct snapshot *snapshot = made(1, 0);

	(void)state;
	begin(&diff, made(1, 0));
	snapshot->paused = true;
	snapshot->active_group = strdup("web");
	step(&diff, snapshot);
	assert_string_equal(events_of(told), "paused active-group");
	step(&diff, made(1, 0));
	assert_string_equal(events_of(told), "resumed active-group");
	assert_true(json_is_null(json_object_get(json_array_get(told, 1), "group")));
}

/* ---- the log ---- */

static void test_log_numbers_its_lines_and_keeps_the_newest(void **state)
{
	_cleanup_free_ struct event_log *log = malloc(sizeof(*log));
	struct document *line;
	json_t *json;

	(void)state;
	assert_non_null(log);
	event_log_init(log);
	assert_null(event_log_get(log, 1));
	for (unsigned i = 0; i < EVENT_LOG_LINES + 10; i++)
		event_log_add(log, json_pack("{ss si}", "event", "test", "i", i));
	assert_int_equal(log->first, 11);
	assert_null(event_log_get(log, 10));
	line = event_log_get(log, 11);
	assert_non_null(line);
	event_log_done(log);
	json = json_loadb(line->text, line->length, 0, NULL);
	document_unref(line);
	assert_int_equal(json_integer_value(json_object_get(json, "sequence")), 11);
	assert_int_equal(json_integer_value(json_object_get(json, "i")), 10);
	assert_non_null(json_string_value(json_object_get(json, "at")));
	json_decref(json);
}

static void test_log_is_bounded_in_bytes_too(void **state)
{
	_cleanup_free_ struct event_log *log = malloc(sizeof(*log));
	_cleanup_free_ char *text = malloc(EVENT_LOG_BYTES + 1);

	(void)state;
	assert_non_null(log);
	assert_non_null(text);
	memset(text, 'x', EVENT_LOG_BYTES);
	text[EVENT_LOG_BYTES] = '\0';
	event_log_init(log);
	for (unsigned i = 0; i < 40; i++)
		event_log_add(log,
			json_pack("{ss so}", "event", "test", "text", json_stringn(text, 100000)));
	assert_true(log->bytes <= EVENT_LOG_BYTES && log->next - log->first == 10);
	event_log_add(log, json_pack("{ss ss}", "event", "too long", "text", text));
	assert_int_equal(log->bytes, 0);
	/* One that there was no memory for leaves a gap. */
	event_log_add(log, NULL);
	assert_null(event_log_get(log, log->next - 1));
	event_log_done(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_the_same_again_is_nothing_new, teardown),
		cmocka_unit_test_teardown(
			test_vms_come_and_go_and_a_pid_that_is_used_again_is_another, teardown),
		cmocka_unit_test_teardown(
			test_states_and_policies_are_told_when_they_change, teardown),
		cmocka_unit_test_teardown(
			test_small_changes_of_what_is_folded_are_told_together, teardown),
		cmocka_unit_test_teardown(
			test_sentences_are_compared_at_the_end_of_passes_only, teardown),
		cmocka_unit_test_teardown(test_pauses_and_the_active_group_are_told, teardown),
		cmocka_unit_test(test_log_numbers_its_lines_and_keeps_the_newest),
		cmocka_unit_test(test_log_is_bounded_in_bytes_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
