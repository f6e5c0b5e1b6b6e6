// SPDX-License-Identifier: GPL-2.0-or-later
/* Metrics: which format, and what of a snapshot is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "common/cleanup.h"
#include "daemon/metrics_text.h"

static void cleanup_snapshot(struct snapshot **snapshot)
{
	*snapshot = snapshot_unref(*snapshot);
}
#define _cleanup_snapshot_ _cleanup_(cleanup_snapshot)

static struct snapshot *snapshot_of(size_t vms)
{
	struct snapshot *snapshot = snapshot_new();

	assert_non_null(snapshot);
	snapshot->vms = calloc(vms + 1, sizeof(*snapshot->vms));
	assert_non_null(snapshot->vms);
	for (; snapshot->vm_count < vms; snapshot->vm_count++) {
		struct snapshot_vm *vm = &snapshot->vms[snapshot->vm_count];

		snapshot_vm_init(vm);
		vm->is_vm = true;
		vm->pid = 100 + (pid_t)snapshot->vm_count;
	}
	return snapshot;
}

static void name_vm(struct snapshot_vm *vm, const char *name, const char *uuid)
{
	vm->name = strdup(name);
	vm->uuid = uuid ? strdup(uuid) : NULL;
}

/* The whole line is in the text. */
static void assert_line(const char *text, const char *line)
{
	const size_t length = strlen(line);

	for (const char *at = text; (at = strstr(at, line)); at++)
		if ((at == text || at[-1] == '\n') && at[length] == '\n')
			return;
	fail_msg("no line \"%s\" in:\n%s", line, text);
}

static size_t count_of(const char *text, const char *word)
{
	size_t count = 0;

	for (; (text = strstr(text, word)); text++)
		count++;
	return count;
}

static void test_openmetrics_is_for_those_who_ask_for_it(void **state)
{
	static const struct {
		const char *accept;
		enum metrics_format format;
	} cases[] = {
		{ NULL, METRICS_TEXT },
		{ "", METRICS_TEXT },
		{ "*/*", METRICS_TEXT },
		{ "text/plain", METRICS_TEXT },
		{ "application/openmetrics-text", METRICS_OPENMETRICS },
		{ "Application/OpenMetrics-Text ; Version = 1.0.0 ; Q=0.3", METRICS_OPENMETRICS },
		{ "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		  "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
			METRICS_OPENMETRICS },
		{ "application/openmetrics-text;version=0.0.1", METRICS_TEXT },
		{ "application/openmetrics-text;q=0", METRICS_TEXT },
		{ "application/openmetrics-text;q=0.000, */*", METRICS_TEXT },
		{ "application/openmetrics-text;q=0.4,text/plain;q=0.5", METRICS_TEXT },
		{ "text/plain;q=0.5, application/openmetrics-text;q=0.5", METRICS_OPENMETRICS },
		{ "application/openmetrics-text;q=nan", METRICS_TEXT },
		{ "application/openmetrics-text;q=9", METRICS_TEXT },
		{ "application/openmetrics-text;q=0.1234", METRICS_TEXT },
		{ "application/openmetrics-textual", METRICS_TEXT },
		{ ";;;,,,;q=,=,", METRICS_TEXT },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (metrics_format_choose(cases[i].accept) != cases[i].format)
			fail_msg("%s", cases[i].accept ? cases[i].accept : "no header");
}

static void test_what_was_not_measured_has_no_sample(void **state)
{
	_cleanup_snapshot_ struct snapshot *snapshot = snapshot_of(1);
	_cleanup_free_ char *text = NULL;

	(void)state;
	name_vm(&snapshot->vms[0], "web1", "u-1");
	text = metrics_text(snapshot, METRICS_TEXT);
	assert_null(strstr(text, "reclaimed"));
	assert_null(strstr(text, "allocator"));
	assert_null(strstr(text, "last_pass"));
	assert_null(strstr(text, "nan"));
	assert_null(strstr(text, "verdict"));
	assert_line(text, "pagefold_passes_total 0");
	assert_line(text, "pagefold_vms{state=\"observed\"} 1");
	assert_line(text, "pagefold_vms{state=\"folded\"} 0");
	assert_line(text, "pagefold_vms_left_out 0");
	/* Reclaimed below nothing is a number like others. */
	snapshot->net_bytes = -4096;
	free(text);
	text = metrics_text(snapshot, METRICS_TEXT);
	assert_line(text, "pagefold_net_bytes -4096");
}

static void fill(struct snapshot *snapshot)
{
	struct snapshot_vm *vm = &snapshot->vms[0];

	name_vm(vm, "web1", "u-1");
	strcpy(vm->group, "web");
	vm->state = VM_FOLDED;
	vm->mode = MODE_MERGE;
	vm->hook = "ring";
	vm->verdict.word = VERDICT_WORTH_IT;
	vm->reclaimed_bytes = INT64_C(1) << 40;
	vm->stall_seconds_estimate = 0.25;
	snapshot->reclaimed_bytes = vm->reclaimed_bytes;
	snapshot->cow_break_ns_p50 = 1500;
	snapshot->ksmd_cpu_seconds = 12.5;
	snapshot->pass_number = 7;
	snapshot->finished_at.tv_sec = 1767225599;
	snapshot->pass_seconds = 0.5;
	snapshot->allocator.resident_bytes = 12345678;
	snapshot->kernel = strdup("6.18.0");
	snapshot->warnings = calloc(3, sizeof(char *));
	snapshot->warnings[0] = strdup("one");
	snapshot->warnings[1] = strdup("two");
}

static void test_text_format_has_every_suffix_in_the_name(void **state)
{
	_cleanup_snapshot_ struct snapshot *snapshot = snapshot_of(1);
	_cleanup_free_ char *text = NULL;

	(void)state;
	fill(snapshot);
	text = metrics_text(snapshot, METRICS_TEXT);
	assert_line(text, "# TYPE pagefold_build_info gauge");
	assert_line(text, "pagefold_build_info{version=\"" PAGEFOLD_VERSION "\"} 1");
	assert_line(text, "pagefold_host_info{kernel=\"6.18.0\",ksm_driver=\"none\"} 1");
	assert_line(text, "pagefold_warnings 2");
	assert_line(text, "pagefold_reclaimed_bytes 1099511627776");
	assert_line(text, "pagefold_cow_break_median_seconds 1.5e-06");
	assert_line(text, "# TYPE pagefold_cpu_seconds_total counter");
	assert_line(text, "pagefold_cpu_seconds_total{part=\"ksmd\"} 12.5");
	assert_line(text, "pagefold_last_pass_timestamp_seconds 1767225599");
	assert_line(text, "pagefold_allocator_resident_bytes 12345678");
	assert_line(text, "pagefold_vm_info{name=\"web1\",uuid=\"u-1\",group=\"web\",kind=\"vm\","
			  "mode=\"merge\",hook=\"ring\",state=\"folded\",verdict=\"worth it\"} 1");
	assert_line(text, "pagefold_vm_reclaimed_bytes{name=\"web1\",uuid=\"u-1\",group=\"web\"} "
			  "1099511627776");
	assert_line(text,
		"pagefold_vm_stall_seconds_total{name=\"web1\",uuid=\"u-1\",group=\"web\"} 0.25");
	assert_null(strstr(text, "# UNIT"));
	assert_null(strstr(text, "# EOF"));
	/* Each metric is announced once, and nothing twice. */
	assert_int_equal(count_of(text, "# TYPE pagefold_cpu_seconds_total "), 1);
	assert_int_equal(count_of(text, "# HELP "), count_of(text, "# TYPE "));
}

static void test_openmetrics_has_types_units_and_an_end(void **state)
{
	_cleanup_snapshot_ struct snapshot *snapshot = snapshot_of(1);
	_cleanup_free_ char *text = NULL;

	(void)state;
	fill(snapshot);
	text = metrics_text(snapshot, METRICS_OPENMETRICS);
	assert_line(text, "# TYPE pagefold_build info");
	assert_line(text, "pagefold_build_info{version=\"" PAGEFOLD_VERSION "\"} 1");
	assert_line(text, "# TYPE pagefold_cpu_seconds counter");
	assert_line(text, "# UNIT pagefold_cpu_seconds seconds");
	assert_line(text, "pagefold_cpu_seconds_total{part=\"ksmd\"} 12.5");
	assert_line(text, "# UNIT pagefold_reclaimed_bytes bytes");
	assert_string_equal(text + strlen(text) - strlen("\n# EOF\n"), "\n# EOF\n");
}

static void test_hostile_names_stay_inside_their_quotes(void **state)
{
	static const struct {
		const char *name, *label;
	} cases[] = {
		{ "a\"} 1\nevil{b=\"", "name=\"a\\\"} 1\\nevil{b=\\\"\"" },
		{ "back\\slash\\", "name=\"back\\\\slash\\\\\"" },
		{ "\x1b[31mred", "name=\"\xEF\xBF\xBD[31mred\"" },
		{ "\xff\xfe", "name=\"\xEF\xBF\xBD\xEF\xBF\xBD\"" },
		{ "c1 \xc2\x9b", "name=\"c1 \xEF\xBF\xBD\"" },
		{ "cut \xe2\x82", "name=\"cut \xEF\xBF\xBD\xEF\xBF\xBD\"" },
		{ "\r\t\x7f", "name=\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"" },
		{ "gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xa7",
			"name=\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x90\xa7\"" },
		{ "", "name=\"\"" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_snapshot_ struct snapshot *snapshot = snapshot_of(1);
		_cleanup_free_ char *text = NULL, *line = NULL;

		name_vm(&snapshot->vms[0], cases[i].name, "u-1");
		snapshot->vms[0].ram_bytes = 1;
		text = metrics_text(snapshot, METRICS_TEXT);
		assert_true(asprintf(&line,
				    "pagefold_vm_ram_bytes{%s,uuid=\"u-1\",group=\"default\"} 1",
				    cases[i].label) > 0);
		assert_line(text, line);
	}
}

static void test_those_that_are_called_the_same_are_told_apart(void **state)
{
	_cleanup_snapshot_ struct snapshot *snapshot = snapshot_of(5);
	_cleanup_free_ char *text = NULL;

	(void)state;
	name_vm(&snapshot->vms[0], "clone", "u-1");
	name_vm(&snapshot->vms[1], "clone", "u-1");
	name_vm(&snapshot->vms[2], "clone", "u-2");
	name_vm(&snapshot->vms[3], "java", NULL);
	name_vm(&snapshot->vms[4], "java", NULL);
	for (size_t i = 0; i < snapshot->vm_count; i++)
		snapshot->vms[i].ram_bytes = (int64_t)i;
	text = metrics_text(snapshot, METRICS_TEXT);
	assert_line(text, "pagefold_vm_ram_bytes{name=\"clone\",uuid=\"u-1\",group=\"default\",pid="
			  "\"100\"} 0");
	assert_line(text, "pagefold_vm_ram_bytes{name=\"clone\",uuid=\"u-1\",group=\"default\",pid="
			  "\"101\"} 1");
	assert_line(text, "pagefold_vm_ram_bytes{name=\"clone\",uuid=\"u-2\",group=\"default\"} 2");
	assert_line(text, "pagefold_vm_ram_bytes{name=\"java\",group=\"default\",pid=\"103\"} 3");
	assert_line(text, "pagefold_vm_ram_bytes{name=\"java\",group=\"default\",pid=\"104\"} 4");
}

static void test_names_that_differ_only_in_what_is_replaced_are_told_apart(void **state)
{
	_cleanup_snapshot_ struct snapshot *snapshot = snapshot_of(2);
	_cleanup_free_ char *text = NULL;

	(void)state;
	name_vm(&snapshot->vms[0], "\xff", "u-1");
	name_vm(&snapshot->vms[1], "\xfe", "u-1");
	snapshot->vms[0].ram_bytes = snapshot->vms[1].ram_bytes = 1;
	text = metrics_text(snapshot, METRICS_TEXT);
	assert_non_null(strstr(text, "pid=\"100\"} 1"));
	assert_non_null(strstr(text, "pid=\"101\"} 1"));
}

static void test_beyond_the_limit_vms_are_one_sum(void **state)
{
	_cleanup_snapshot_ struct snapshot *snapshot = snapshot_of(METRICS_VMS_MAX + 3);
	_cleanup_free_ char *text = NULL;
	char name[24];

	(void)state;
	for (size_t i = 0; i < snapshot->vm_count; i++) {
		(void)snprintf(name, sizeof(name), "vm%zu", i);
		name_vm(&snapshot->vms[i], name, name);
		snapshot->vms[i].reclaimed_bytes = (int64_t)i;
	}
	/* Not measured is not in the sum. */
	snapshot->vms[METRICS_VMS_MAX].reclaimed_bytes = NOT_MEASURED;
	text = metrics_text(snapshot, METRICS_TEXT);
	assert_line(text, "pagefold_vms_left_out 3");
	assert_line(text, "pagefold_vm_reclaimed_bytes{rest=\"yes\"} 2003");
	assert_int_equal(count_of(text, "\npagefold_vm_reclaimed_bytes{"), METRICS_VMS_MAX + 1);
	assert_int_equal(count_of(text, "\npagefold_vm_info{"), METRICS_VMS_MAX);
	assert_null(strstr(text, "pagefold_vm_ram_bytes"));
	assert_line(text, "pagefold_vms{state=\"observed\"} 1003");
}

/* Of what is there when everything was measured, as 0. */
static char *everything(void)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	char *text;

	assert_non_null(snapshot);
	snapshot->references = 1;
	snapshot->pass_number = 1;
	snapshot->vms = calloc(1, sizeof(*snapshot->vms));
	assert_non_null(snapshot->vms);
	snapshot->vm_count = 1;
	snapshot->verdict.word = VERDICT_MARGINAL;
	text = metrics_text(snapshot, METRICS_TEXT);
	snapshot_unref(snapshot);
	assert_non_null(text);
	return text;
}

static void test_the_manual_has_every_metric_and_no_other(void **state)
{
	_cleanup_free_ char *text = everything(), *manual = NULL;
	_cleanup_fclose_ FILE *file = fopen("man/pagefoldd.8", "re");
	size_t room = 0, count = 0;
	char name[64], item[96];

	(void)state;
	assert_non_null(file);
	assert_true(getdelim(&manual, &room, '\0', file) > 0);
	for (const char *at = text; (at = strstr(at, "# TYPE ")); at++, count++) {
		assert_int_equal(sscanf(at, "# TYPE %63s", name), 1);
		(void)snprintf(item, sizeof(item), ".It Li %s\n", name);
		if (count_of(manual, item) != 1)
			fail_msg("%s is not in the manual, or not once", name);
	}
	assert_int_equal(count_of(manual, ".It Li pagefold_"), count);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_openmetrics_is_for_those_who_ask_for_it),
		cmocka_unit_test(test_what_was_not_measured_has_no_sample),
		cmocka_unit_test(test_text_format_has_every_suffix_in_the_name),
		cmocka_unit_test(test_openmetrics_has_types_units_and_an_end),
		cmocka_unit_test(test_hostile_names_stay_inside_their_quotes),
		cmocka_unit_test(test_those_that_are_called_the_same_are_told_apart),
		cmocka_unit_test(test_names_that_differ_only_in_what_is_replaced_are_told_apart),
		cmocka_unit_test(test_beyond_the_limit_vms_are_one_sum),
		cmocka_unit_test(test_the_manual_has_every_metric_and_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
