// SPDX-License-Identifier: GPL-2.0-or-later
/* The contract of the API: which fields there are, and null for what was not measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "common/cleanup.h"
#include "daemon/snapshot_json.h"

static void assert_keys(const json_t *object, const char *const keys[], size_t count)
{
	const char *key;
	json_t *value;

	assert_true(json_is_object(object));
	for (size_t i = 0; i < count; i++)
		if (!json_object_get(object, keys[i]))
			fail_msg("%s is missing", keys[i]);
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		bool known = false;

		for (size_t i = 0; i < count; i++)
			known |= strcmp(key, keys[i]) == 0;
		if (!known)
			fail_msg("%s is not in the contract", key);
	}
}
#define ASSERT_KEYS(object, ...)                                                                   \
	do {                                                                                       \
		static const char *const expected_[] = { __VA_ARGS__ };                            \
		assert_keys(object, expected_, ARRAY_SIZE(expected_));                             \
	} while (0)

#define VM_KEYS                                                                                    \
	"name", "uuid", "pid", "kind", "mode", "group", "hook", "state", "reason", "ram_bytes",    \
		"resident_bytes", "pages_scanned", "zero_pages", "duplicate_pages",                \
		"potential_bytes", "reclaimed_bytes", "reclaimed_zero_bytes",                      \
		"reclaimed_self_bytes", "reclaimed_cross_bytes", "predicted_bytes",                \
		"delivered_bytes", "prediction_error_percent", "exposure_bytes",                   \
		"cow_breaks_estimate", "stall_seconds_estimate", "stall_longest_seconds",          \
		"cpu_seconds", "hugepages_lost", "verdict"

#define VERDICT_KEYS                                                                               \
	"word", "reason", "net_bytes", "cpu_seconds_per_hour", "stall_seconds_per_hour",           \
		"net_bytes_per_cpu_second", "net_bytes_per_stall_second",                          \
		"break_even_bytes_per_cpu_second"

static struct snapshot *snapshot_with_vm(void)
{
	struct snapshot *snapshot = snapshot_new();

	assert_non_null(snapshot);
	snapshot->vms = calloc(1, sizeof(*snapshot->vms));
	assert_non_null(snapshot->vms);
	snapshot->vm_count = 1;
	snapshot_vm_init(&snapshot->vms[0]);
	snapshot->vms[0].pid = 42;
	return snapshot;
}

static void test_status_has_the_fields_of_the_contract(void **state)
{
	struct snapshot *snapshot = snapshot_with_vm();
	json_t *status = snapshot_status_json(snapshot);

	(void)state;
	ASSERT_KEYS(status, "schema", "host", "verdict", "savings", "cost", "pass", "vms");
	ASSERT_KEYS(json_object_get(status, "verdict"), VERDICT_KEYS);
	ASSERT_KEYS(json_object_get(status, "host"), "memory_bytes", "available_bytes", "kernel",
		"features", "active_group", "paused", "ksm_driver", "blocked_by", "warnings");
	ASSERT_KEYS(json_object_get(status, "savings"), "reclaimed_bytes", "reclaimed_zero_bytes",
		"reclaimed_self_bytes", "reclaimed_cross_bytes", "predicted_bytes",
		"delivered_bytes", "prediction_error_percent", "net_bytes", "potential_bytes", "exposure_bytes", "metadata_bytes");
	ASSERT_KEYS(json_object_get(status, "cost"), "scan_cpu_seconds", "ksmd_cpu_seconds",
		"ring_cpu_seconds", "helper_cpu_seconds", "vms_cpu_seconds", "ended_cpu_seconds",
		"own_cpu_seconds", "since", "cow_breaks", "cow_break_ns_p50",
		"cow_break_ns_p99", "stall_seconds_estimate", "stall_longest_seconds",
		"hugepages_lost");
	ASSERT_KEYS(json_object_get(status, "pass"), "number", "finished_at", "pages_scanned",
		"bytes_per_second");
	ASSERT_KEYS(json_array_get(json_object_get(status, "vms"), 0), VM_KEYS);
	json_decref(status);
	snapshot_unref(snapshot);
}

static void test_vms_is_an_object_with_an_array(void **state)
{
	struct snapshot *snapshot = snapshot_with_vm();
	json_t *vms = snapshot_vms_json(snapshot);

	(void)state;
	ASSERT_KEYS(vms, "schema", "vms");
	ASSERT_KEYS(json_array_get(json_object_get(vms, "vms"), 0), VM_KEYS);
	json_decref(vms);
	snapshot_unref(snapshot);
}

static void assert_null_but(const json_t *object, const char *const exceptions[], size_t count)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		bool excepted = false;

		for (size_t i = 0; i < count; i++)
			excepted |= strcmp(key, exceptions[i]) == 0;
		if (!excepted && !json_is_null(value))
			fail_msg("%s is not null", key);
	}
}

static void test_what_was_not_measured_is_null(void **state)
{
	static const char *const host[] = { "features", "paused", "ksm_driver", "blocked_by",
		"warnings" };
	static const char *const pass[] = { "number" };
	static const char *const vm[] = { "pid", "kind", "mode", "group", "hook", "state", "verdict" };
	struct snapshot *snapshot = snapshot_with_vm();
	json_t *status = snapshot_status_json(snapshot);

	(void)state;
	assert_null_but(json_object_get(status, "host"), host, ARRAY_SIZE(host));
	assert_null_but(json_object_get(status, "savings"), NULL, 0);
	assert_null_but(json_object_get(status, "cost"), NULL, 0);
	assert_null_but(json_object_get(status, "pass"), pass, ARRAY_SIZE(pass));
	assert_null_but(json_array_get(json_object_get(status, "vms"), 0), vm, ARRAY_SIZE(vm));
	json_decref(status);
	snapshot_unref(snapshot);
}

static void test_zero_is_zero(void **state)
{
	struct snapshot *snapshot = snapshot_with_vm();
	json_t *status, *zero;

	(void)state;
	snapshot->reclaimed_bytes = 0;
	snapshot->scan_cpu_seconds = 0;
	snapshot->net_bytes = -4096; /* metadata may cost more than came back */
	status = snapshot_status_json(snapshot);
	zero = json_object_get(json_object_get(status, "savings"), "reclaimed_bytes");
	assert_true(json_is_integer(zero));
	assert_int_equal(json_integer_value(zero), 0);
	assert_int_equal(json_integer_value(
				 json_object_get(json_object_get(status, "savings"), "net_bytes")),
		-4096);
	assert_true(
		json_is_real(json_object_get(json_object_get(status, "cost"), "scan_cpu_seconds")));
	json_decref(status);
	snapshot_unref(snapshot);
}

static void test_a_nonsensical_duration_is_null(void **state)
{
	struct snapshot *snapshot = snapshot_with_vm();
	json_t *status;

	(void)state;
	snapshot->scan_cpu_seconds = __builtin_nan("");
	snapshot->ksmd_cpu_seconds = __builtin_inf();
	snapshot->ring_cpu_seconds = -0.5;
	status = snapshot_status_json(snapshot);
	assert_null_but(json_object_get(status, "cost"), NULL, 0);
	json_decref(status);
	snapshot_unref(snapshot);
}

static void test_times_are_rfc_3339_in_utc(void **state)
{
	struct snapshot *snapshot = snapshot_with_vm();
	json_t *status;

	(void)state;
	setenv("TZ", "Asia/Kathmandu", 1);
	snapshot->pass_number = 1;
	snapshot->finished_at = (struct timespec){ .tv_sec = 1767225599, .tv_nsec = 42999999 };
	status = snapshot_status_json(snapshot);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(status, "pass"), "finished_at")),
		"2025-12-31T23:59:59.042Z");
	json_decref(status);
	snapshot_unref(snapshot);
}

static void test_show_has_extents(void **state)
{
	struct snapshot *snapshot = snapshot_with_vm();
	struct snapshot_vm *vm = &snapshot->vms[0];
	json_t *json;

	(void)state;
	vm->is_vm = true;
	vm->extents = calloc(1, sizeof(*vm->extents));
	assert_non_null(vm->extents);
	vm->extent_count = 1;
	vm->extents[0] = (struct snapshot_extent){
		.start = UINT64_C(0x7fffffe00000),
		.length = 2 << 20,
		.pages_read = 512,
		.zeros = 100,
		.twins = 300,
		.folded = true,
	};
	json = snapshot_vm_json(vm, true);
	ASSERT_KEYS(json, VM_KEYS, "extents");
	assert_string_equal(json_string_value(json_object_get(json, "kind")), "vm");
	ASSERT_KEYS(json_array_get(json_object_get(json, "extents"), 0), "start", "length",
		"pages_read", "zero_pages", "duplicate_pages", "huge", "folded",
		"cow_breaks");
	assert_int_equal(json_integer_value(json_object_get(
				 json_array_get(json_object_get(json, "extents"), 0), "start")),
		0x7fffffe00000);
	json_decref(json);
	json = snapshot_vm_json(vm, false);
	ASSERT_KEYS(json, VM_KEYS);
	json_decref(json);
	snapshot_unref(snapshot);
}

static void test_a_plan_lists_its_entries(void **state)
{
	struct snapshot *snapshot = snapshot_with_vm();
	json_t *json;

	(void)state;
	snapshot->pass_number = 3;
	snapshot->plan.entries = calloc(1, sizeof(*snapshot->plan.entries));
	assert_non_null(snapshot->plan.entries);
	snapshot->plan.count = 1;
	snapshot->plan.vm_names = calloc(1, sizeof(char *));
	assert_non_null(snapshot->plan.vm_names);
	snapshot->plan.vm_names[snapshot->plan.vm_count++] = strdup("web1");
	snapshot->plan.entries[0] = (struct plan_entry){
		.action = PLAN_FOLD,
		.pid = 42,
		.reason = "300 pages",
	};
	json = snapshot_plan_json(snapshot);
	ASSERT_KEYS(json, "schema", "pass", "fold_pages", "entries");
	ASSERT_KEYS(json_array_get(json_object_get(json, "entries"), 0), "action", "name", "pid",
		"start", "length", "duplicate_pages", "zero_pages", "huge", "reason");
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(json, "entries"), 0), "name")),
		"web1");
	json_decref(json);
	snapshot_unref(snapshot);
}

static void test_a_policy_says_where_it_comes_from(void **state)
{
	struct snapshot *snapshot = snapshot_with_vm();
	json_t *json;

	(void)state;
	snapshot->vms[0].policy_source = strdup("/etc/pagefold/policy.d/a.conf:3");
	json = snapshot_policy_json(&snapshot->vms[0]);
	ASSERT_KEYS(json, "schema", "name", "uuid", "pid", "mode", "group", "hook", "hugepages",
		"source");
	json_decref(json);
	snapshot_unref(snapshot);
}

static void test_any_bytes_become_a_json_string(void **state)
{
	static const struct {
		const char *text, *expected;
	} cases[] = {
		{ "", "" }, { "web1", "web1" },
		{ "M\xc3\xbcnchen \xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x98\x80",
			"M\xc3\xbcnchen \xe6\x9d\xb1\xe4\xba\xac \xf0\x9f\x98\x80" },
		{ "a\xff"
		  "b",
			"a\xef\xbf\xbd"
			"b" },
		{ "\xc3", "\xef\xbf\xbd" },                 /* cut short */
		{ "\xe6\x9d", "\xef\xbf\xbd\xef\xbf\xbd" }, /* cut short */
		{ "\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd" },                 /* overlong NUL */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, /* surrogate */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\x80", "\xef\xbf\xbd" }, { "\x1b[31m\n", "\x1b[31m\n" }, /* jansson escapes it */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *json = json_text(cases[i].text);

		assert_non_null(json);
		assert_string_equal(json_string_value(json), cases[i].expected);
		json_decref(json);
	}
	assert_true(json_is_null(json_text(NULL)));
}

static void test_hostile_names_make_valid_json(void **state)
{
	struct snapshot *snapshot = snapshot_with_vm();
	_cleanup_free_ char *text = NULL;
	json_t *status;

	(void)state;
	snapshot->vms[0].name = strdup("\xff\"\\\x01\x7f</script>");
	snapshot->vms[0].reason = strdup("\xc3(");
	status = snapshot_status_json(snapshot);
	assert_non_null(status);
	text = json_dumps(status, JSON_COMPACT);
	assert_non_null(text);
	json_decref(status);
	status = json_loads(text, 0, NULL);
	assert_non_null(status);
	json_decref(status);
	snapshot_unref(snapshot);
}

static void test_a_subject_has_only_names_that_no_other_vm_has(void **state)
{
	static const struct {
		const char *names[2], *uuids[2];
		bool keeps_name, keeps_uuid;
	} cases[] = {
		{ { "a", "b" }, { "1", "2" }, true, true },
		{ { "a", "a" }, { "1", "2" }, false, true },
		{ { "a", "a" }, { "1f", "1F" }, false, false },
		{ { "a", NULL }, { NULL, "1" }, true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct snapshot_vm vms[2];
		const struct snapshot snapshot = { .vms = vms, .vm_count = 2 };
		struct policy_subject subject;

		for (size_t k = 0; k < 2; k++) {
			snapshot_vm_init(&vms[k]);
			vms[k].pid = (pid_t)k + 1;
			vms[k].name = (char *)(uintptr_t)cases[i].names[k];
			vms[k].uuid = (char *)(uintptr_t)cases[i].uuids[k];
		}
		subject = snapshot_subject(&snapshot, &vms[0]);
		assert_int_equal(subject.name != NULL, cases[i].keeps_name);
		assert_int_equal(subject.uuid != NULL, cases[i].keeps_uuid);
	}
}

static void test_references_are_counted(void **state)
{
	struct snapshot *snapshot = snapshot_with_vm();

	(void)state;
	assert_ptr_equal(snapshot_ref(snapshot), snapshot);
	assert_null(snapshot_unref(snapshot));
	assert_int_equal(snapshot->vm_count, 1); /* still there: the sanitizer would tell */
	assert_null(snapshot_unref(snapshot));
	assert_null(snapshot_unref(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_has_the_fields_of_the_contract),
		cmocka_unit_test(test_vms_is_an_object_with_an_array),
		cmocka_unit_test(test_what_was_not_measured_is_null),
		cmocka_unit_test(test_zero_is_zero),
		cmocka_unit_test(test_a_nonsensical_duration_is_null),
		cmocka_unit_test(test_times_are_rfc_3339_in_utc),
		cmocka_unit_test(test_show_has_extents),
		cmocka_unit_test(test_a_plan_lists_its_entries),
		cmocka_unit_test(test_a_policy_says_where_it_comes_from),
		cmocka_unit_test(test_any_bytes_become_a_json_string),
		cmocka_unit_test(test_hostile_names_make_valid_json),
		cmocka_unit_test(test_a_subject_has_only_names_that_no_other_vm_has),
		cmocka_unit_test(test_references_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
