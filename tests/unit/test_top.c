// SPDX-License-Identifier: GPL-2.0-or-later
/* pagefold top: what changes per second, the order, and lines that fit and are harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

#include "common/cleanup.h"
#include "tools/pagefold/top_text.h"

#define MIB (INT64_C(1) << 20)

static void cleanup_model(struct top_model *model)
{
	top_model_done(model);
}
#define _cleanup_model_ _cleanup_(cleanup_model)

/* NULL where there is no such number. */
static json_t *number(int64_t value)
{
	return value < 0 ? json_null() : json_integer(value);
}

static json_t *make_vm(const char *name, int pid, int64_t reclaimed, int64_t breaks, double cpu)
{
	json_t *vm = json_pack("{ss sn si ss ss so so sf}", "name", name, "uuid", "pid", pid,
		"group", "web", "state", "folded", "reclaimed_bytes", number(reclaimed),
		"cow_breaks_estimate", number(breaks), "cpu_seconds", cpu);

	assert_non_null(vm);
	return vm;
}

/* Takes the VMs; NULL ends them. */
static json_t *make_status(const char *finished_at, ...)
{
	json_t *vms = json_array(), *vm, *status;
	va_list list;

	va_start(list, finished_at);
	while ((vm = va_arg(list, json_t *)))
		assert_int_equal(json_array_append_new(vms, vm), 0);
	va_end(list);
	status = json_pack("{s{si ss?} s{sb sn s[] s[]} s{} s{sf sf sf sf si} so}", "pass",
		"number", 7, "finished_at", finished_at, "host", "paused", 0, "memory_bytes",
		"blocked_by", "warnings", "savings", "cost", "scan_cpu_seconds", 1.0,
		"ksmd_cpu_seconds", 2.0, "ring_cpu_seconds", 0.0, "helper_cpu_seconds", 0.0,
		"cow_breaks", 100, "vms", vms);
	assert_non_null(status);
	return status;
}

static const char *name_at(const struct top_model *model, size_t index)
{
	return json_string_value(json_object_get(model->rows[index].vm, "name"));
}

static void assert_order(const struct top_model *model, const char *names)
{
	char order[64] = "";

	for (size_t i = 0; i < model->row_count; i++)
		(void)strncat(order, name_at(model, i), sizeof(order) - strlen(order) - 1);
	assert_string_equal(order, names);
}

static void test_rates_are_those_between_two_passes(void **state)
{
	_cleanup_model_ struct top_model model = { 0 };

	(void)state;
	assert_true(top_model_update(&model,
		make_status("2026-11-21T10:00:00.500Z", make_vm("a", 1, 0, 1000, 2.0), NULL)));
	assert_true(isnan(model.rows[0].breaks_per_second));
	assert_true(isnan(model.cpu_percent));
	assert_true(top_model_update(&model,
		make_status("2026-11-21T10:00:02.500Z", make_vm("a", 1, 0, 1500, 2.5), NULL)));
	assert_float_equal(model.rows[0].breaks_per_second, 250, 0.001);
	assert_float_equal(model.rows[0].cpu_percent, 25, 0.001);
	assert_float_equal(model.cpu_percent, 0, 0.001);
	/* The same pass again: its rates stay. */
	assert_true(top_model_update(&model,
		make_status("2026-11-21T10:00:02.500Z", make_vm("a", 1, 0, 1500, 2.5), NULL)));
	assert_float_equal(model.rows[0].breaks_per_second, 250, 0.001);
	/* And the next is compared with that one. */
	assert_true(top_model_update(&model,
		make_status("2026-11-21T10:00:03.500Z", make_vm("a", 1, 0, 1501, 2.5), NULL)));
	assert_float_equal(model.rows[0].breaks_per_second, 1, 0.001);
}

static void test_no_rate_is_made_up(void **state)
{
	_cleanup_model_ struct top_model model = { 0 };

	(void)state;
	assert_true(top_model_update(
		&model, make_status("2026-11-21T10:00:00.000Z", make_vm("same pid", 1, 0, 10, 2.0),
				make_vm("began anew", 2, 0, 10, 2.0),
				make_vm("not measured", 3, 0, -1, 2.0), NULL)));
	assert_true(top_model_update(&model,
		make_status("2026-11-21T10:00:01.000Z", make_vm("another", 1, 0, 20, 3.0),
			make_vm("began anew", 2, 0, 5, 1.0), make_vm("not measured", 3, 0, 5, 3.0),
			make_vm("new", 4, 0, 5, 3.0), NULL)));
	for (size_t i = 0; i < model.row_count; i++)
		assert_true(isnan(model.rows[i].breaks_per_second));
	/* A time that goes back, and a daemon that has had no pass. */
	assert_true(top_model_update(&model,
		make_status("2026-11-21T09:00:00.000Z", make_vm("another", 1, 0, 30, 4.0), NULL)));
	assert_true(isnan(model.rows[0].breaks_per_second));
	assert_true(top_model_update(
		&model, make_status(NULL, make_vm("another", 1, 0, 40, 5.0), NULL)));
	assert_true(isnan(model.rows[0].breaks_per_second));
	assert_true(isnan(top_status_time(model.status)));
}

static void test_rows_are_in_the_order_that_was_chosen(void **state)
{
	_cleanup_model_ struct top_model model = { 0 };

	(void)state;
	assert_true(top_model_update(
		&model, make_status("2026-11-21T10:00:00.000Z", make_vm("b", 1, 30, 0, 0),
				make_vm("d", 2, -1, 0, 0), make_vm("a", 3, 10, 0, 0),
				make_vm("c", 4, 30, 0, 0), NULL)));
	assert_order(&model, "abcd");
	top_model_sort(&model, TOP_NAME, true);
	assert_order(&model, "dcba");
	/* Equal ones by their names; what was not measured comes last in both directions. */
	top_model_sort(&model, TOP_RECLAIMED, false);
	assert_order(&model, "bcad");
	top_model_sort(&model, TOP_RECLAIMED, true);
	assert_order(&model, "abcd");
	top_model_sort(&model, TOP_GROUP, false);
	assert_order(&model, "abcd");
	assert_int_equal(top_model_find(&model, 4), 2);
	assert_int_equal(top_model_find(&model, 5), model.row_count);
}

/* ---- text ---- */

static char *put(const char *text, int width, bool right)
{
	char *line = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&line, &length);

	assert_non_null(out);
	top_put(out, text, width, right);
	assert_int_equal(fclose(out), 0);
	return line;
}

static void test_text_fits_its_columns_and_is_harmless(void **state)
{
	static const struct {
		const char *text;
		bool right;
		const char *line; /* of eight columns */
	} cases[] = {
		{ "web1", false, "web1    " },
		{ "web1", true, "    web1" },
		{ "0123456789", false, "01234567" },
		{ "\x1b[2Jx\r\n", false, "?[2Jx?? " },
		{ "\xff\xfe", false, "??      " },
		{ "\xc2\x9b"
		  "31m",
			false, "?31m    " },
		{ "a\xe2\x80\xaeg", false, "a?g     " },
		{ "gr\xc3\xbc\xc3\x9f", true, "    gr\xc3\xbc\xc3\x9f" },
		/* Two columns each; the fifth would begin in the last one and a half. */
		{ "\xe4\xbb\xae\xe4\xbb\xae\xe4\xbb\xae"
		  "x\xe4\xbb\xae",
			false,
			"\xe4\xbb\xae\xe4\xbb\xae\xe4\xbb\xae"
			"x " },
		{ "", false, "        " },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *line = put(cases[i].text, 8, cases[i].right);

		assert_string_equal(line, cases[i].line);
	}
}

static void test_a_locale_that_knows_less_shows_question_marks(void **state)
{
	_cleanup_free_ char *line = NULL;

	(void)state;
	assert_non_null(setlocale(LC_CTYPE, "C"));
	line = put("gr\xc3\xbc\xc3\x9f", 8, false);
	assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
	assert_string_equal(line, "gr????  ");
}

static int columns_of(const char *line)
{
	wchar_t wide[512];
	const size_t length = mbstowcs(wide, line, ARRAY_SIZE(wide));

	assert_true(length < ARRAY_SIZE(wide));
	return wcswidth(wide, length);
}

/* Every line that a screen of that width shows. */
static void assert_lines_fit(const struct top_model *model, int width)
{
	for (int i = 0; i < TOP_HEADER_LINES + 2 + (int)model->row_count; i++) {
		_cleanup_free_ char *line = NULL;
		size_t length = 0;
		FILE *out = open_memstream(&line, &length);

		assert_non_null(out);
		if (i < TOP_HEADER_LINES)
			top_header_line(out, model, i, 0, width);
		else if (i == TOP_HEADER_LINES)
			top_problem_line(out, model, width);
		else if (i == TOP_HEADER_LINES + 1)
			top_headings_line(out, width);
		else
			top_row_line(out, &model->rows[i - TOP_HEADER_LINES - 2], width);
		assert_int_equal(fclose(out), 0);
		assert_int_equal(columns_of(line), width);
	}
}

static void test_lines_fit_whatever_is_in_them(void **state)
{
	_cleanup_model_ struct top_model model = { 0 };
	json_t *status = make_status("2026-11-21T10:00:00.000Z",
		make_vm("a name that is much longer than any column of a table is wide", 1,
			INT64_MAX, INT64_MAX, 1e300),
		make_vm("\xe4\xbb\xae\xe4\xbb\xae\xe4\xbb\xae\xe4\xbb\xae\xe4\xbb\xae\xe4\xbb\xae",
			2, -1, -1, 0),
		make_vm("", INT32_MAX, 1024 * 1024 * MIB, 0, 0), NULL);

	(void)state;
	(void)json_array_append_new(json_object_get(json_object_get(status, "host"), "warnings"),
		json_string("the last burst was cut short, and much more than eighty columns are "
			    "needed "
			    "to say why \x1b[31m"));
	assert_true(top_model_update(&model, status));
	assert_lines_fit(&model, TOP_WIDTH_MIN);
	assert_lines_fit(&model, 80);
	assert_lines_fit(&model, 200);
}

static void test_sizes_of_the_header_have_a_suffix(void **state)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} cases[] = {
		{ 0, " 0.0M," },
		{ 52 * MIB + MIB / 2, " 52.5M," },
		{ 1024 * MIB - 1, " 1.0G," },
		{ -2048 * MIB, " -2.0G," },
		{ 1536 * 1024 * MIB, " 1.5T," },
		{ INT64_MAX, " 8192.0P," },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_model_ struct top_model model = { 0 };
		_cleanup_free_ char *line = NULL;
		size_t length = 0;
		FILE *out = open_memstream(&line, &length);
		json_t *status = json_pack(
			"{s{sI}}", "savings", "reclaimed_bytes", (json_int_t)cases[i].bytes);

		assert_non_null(out);
		assert_true(top_model_update(&model, status));
		top_header_line(out, &model, 2, 0, 80);
		assert_int_equal(fclose(out), 0);
		assert_non_null(strstr(line, cases[i].text));
	}
}

static void test_a_document_without_anything_is_shown_too(void **state)
{
	_cleanup_model_ struct top_model model = { 0 };

	(void)state;
	assert_true(top_model_update(&model, json_object()));
	assert_int_equal(model.row_count, 0);
	assert_lines_fit(&model, 80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates_are_those_between_two_passes),
		cmocka_unit_test(test_no_rate_is_made_up),
		cmocka_unit_test(test_rows_are_in_the_order_that_was_chosen),
		cmocka_unit_test(test_text_fits_its_columns_and_is_harmless),
		cmocka_unit_test(test_a_locale_that_knows_less_shows_question_marks),
		cmocka_unit_test(test_lines_fit_whatever_is_in_them),
		cmocka_unit_test(test_sizes_of_the_header_have_a_suffix),
		cmocka_unit_test(test_a_document_without_anything_is_shown_too),
	};

	if (!setlocale(LC_CTYPE, "C.UTF-8"))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
