// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>

#include "common/cleanup.h"
#include "daemon/ini.h"
#include "tests/unit/temp_dir.h"

struct log {
	char text[8192]; /* "LINE:[SECTION]" and "LINE:KEY=VALUE", each followed by a bar */
	const char *refused_key;
};

static int on_item(void *data, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	struct log *log = data;
	const size_t length = strlen(log->text);
	char *end = log->text + length;

	if (item->key && log->refused_key && strcmp(item->key, log->refused_key) == 0) {
		(void)snprintf(reason, INI_REASON_BYTES, "no such key");
		return -EINVAL;
	}
	if (item->key)
		(void)snprintf(end, sizeof(log->text) - length, "%u:%s=%s|", item->line, item->key,
			item->value);
	else
		(void)snprintf(
			end, sizeof(log->text) - length, "%u:[%s]|", item->line, item->section);
	return 0;
}

static int read_bytes(const char *bytes, size_t length, struct log *log, char **ret_error)
{
	_cleanup_fclose_ FILE *stream = fmemopen((void *)(uintptr_t)bytes, length, "r");

	assert_non_null(stream);
	return ini_read_stream(stream, "f.conf", on_item, log, ret_error);
}

static int read_text(const char *text, struct log *log, char **ret_error)
{
	return read_bytes(text, strlen(text), log, ret_error);
}

static void assert_read(const char *text, const char *expected)
{
	struct log log = { 0 };
	char *error = NULL;

	assert_int_equal(read_text(text, &log, &error), 0);
	assert_string_equal(log.text, expected);
}

static void assert_refused(const char *text, size_t length, const char *expected)
{
	struct log log = { 0 };
	_cleanup_free_ char *error = NULL;

	assert_int_equal(read_bytes(text, length, &log, &error), -EINVAL);
	assert_non_null(error);
	if (strncmp(error, expected, strlen(expected)) != 0)
		fail_msg("\"%s\" does not begin with \"%s\"", error, expected);
}

static void test_items_come_with_their_lines(void **state)
{
	(void)state;
	assert_read("# comment\n\n[a]\nx = 1\n\ny=2\n[b c]\nz =  three words  \n",
		"3:[a]|4:x=1|6:y=2|7:[b c]|8:z=three words|");
}

static void test_comments_end_a_line_only_after_a_blank(void **state)
{
	(void)state;
	assert_read("[a] # one\nx = 1 # two\ny = 2;3#4 ; five\n  # indented\n\t; too\nz = #\n",
		"1:[a]|2:x=1|3:y=2;3#4|6:z=|");
}

static void test_line_ends_of_all_kinds_are_read(void **state)
{
	(void)state;
	assert_read("[a]\r\nx = 1\r\ny = 2", "1:[a]|2:x=1|3:y=2|");
}

static void test_a_byte_order_mark_is_skipped(void **state)
{
	(void)state;
	assert_read("\xEF\xBB\xBF[a]\nx=1\n", "1:[a]|2:x=1|");
}

static void test_sections_without_keys_are_seen(void **state)
{
	(void)state;
	assert_read("[a]\n[b]\n", "1:[a]|2:[b]|");
}

static void test_values_may_hold_what_separates_elsewhere(void **state)
{
	(void)state;
	assert_read("[a]\nmatch = vm:web*=x[1]\n", "1:[a]|2:match=vm:web*=x[1]|");
}

static void test_the_longest_line_is_read_whole(void **state)
{
	char text[512], expected[512], value[200];

	(void)state;
	memset(value, 'v', sizeof(value));
	value[199 - 2] = '\0'; /* "x=" and this are 199 bytes */
	(void)snprintf(text, sizeof(text), "[a]\nx=%s\n", value);
	(void)snprintf(expected, sizeof(expected), "1:[a]|2:x=%s|", value);
	assert_read(text, expected);
}

static void test_what_inih_would_cut_or_misread_is_refused(void **state)
{
	static const struct {
		const char *text;
		const char *error;
	} cases[] = {
		{ "[a]\nx = 1\n  y = 2\n", "f.conf:3: the line is indented" },
		{ "[a]\nx = 1\n\tsecond line\n", "f.conf:3: the line is indented" },
		{ " [a]\n", "f.conf:1: the line is indented" },
		{ "[a]\nx: 1\n", "f.conf:2: expected" },
		{ "[a]\nx: a=1\n", "f.conf:2: expected" },
		{ "[a]\nnothing\n", "f.conf:2: expected" },
		{ "[a]\n= 1\n", "f.conf:2: a value without a key" },
		{ "[a\nx=1\n", "f.conf:1: a section is one name in brackets" },
		{ "[a] x=1\n", "f.conf:1: a section is one name in brackets" },
		{ "[a]b]\n", "f.conf:1: a section is one name in brackets" },
		{ "[a # b]\n", "f.conf:1: a section is one name in brackets" },
		{ "[\n", "f.conf:1: a section without a name" },
		{ "[a]\nx=1\nx=1\n", "f.conf:3: the key \"x\" is there twice" },
		{ "[a]\n[b]\n[a]\n", "f.conf:3: the section [a] is there twice" },
		{ "[a]\nx = \x1b[31mred\n", "f.conf:2: a control byte (0x1b)" },
		{ "[a]\nx = a\rb\n", "f.conf:2: a control byte (0x0d)" },
		{ "[a]\nx = a\x7f\n", "f.conf:2: a control byte (0x7f)" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refused(cases[i].text, strlen(cases[i].text), cases[i].error);
}

static void test_the_same_key_in_two_sections_is_fine(void **state)
{
	(void)state;
	assert_read("[a]\nx=1\n[b]\nx=2\n", "1:[a]|2:x=1|3:[b]|4:x=2|");
}

static void test_nul_bytes_are_refused(void **state)
{
	(void)state;
	assert_refused("[a]\nx = 1\0y\n", 13, "f.conf:2: a NUL byte");
}

static void test_long_lines_and_names_are_refused(void **state)
{
	char text[300];

	(void)state;
	memset(text, '#', sizeof(text));
	text[200] = '\n';
	assert_refused(text, 201, "f.conf:1: the line is longer than 199 bytes");
	memset(text, 'a', sizeof(text));
	text[0] = '[';
	text[51] = ']';
	text[52] = '\0';
	assert_refused(text, 52, "f.conf:1: the section's name is longer than 49 bytes");
	text[50] = ']';
	text[51] = '\0';
	assert_read(text, "1:[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]|");
}

static void test_the_first_error_is_the_one_reported(void **state)
{
	struct log log = { .refused_key = "y" };
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(read_text("[a]\nx=1\ny=2\nbroken\n", &log, &error), -EINVAL);
	assert_string_equal(error, "f.conf:3: no such key");
	assert_string_equal(log.text, "1:[a]|2:x=1|");
}

static void test_files_of_a_directory_are_read_in_byte_order(void **state)
{
	const struct temp_dir dir = temp_dir_make();
	struct log log = { 0 };
	char *error = NULL;

	(void)state;
	temp_dir_write(&dir, "b.conf", "[b]\n");
	temp_dir_write(&dir, "Z.conf", "[Z]\n");
	temp_dir_write(&dir, "10.conf", "[10]\n");
	temp_dir_write(&dir, "9.conf", "[9]\n");
	temp_dir_write(&dir, "a.conf~", "broken");
	temp_dir_write(&dir, ".hidden.conf", "broken");
	temp_dir_write(&dir, "readme", "broken");
	assert_int_equal(ini_read_dir(dir.path, on_item, &log, &error), 0);
	assert_string_equal(log.text, "1:[10]|1:[9]|1:[Z]|1:[b]|");
	temp_dir_remove(&dir);
}

static void test_a_missing_directory_has_no_files(void **state)
{
	struct log log = { 0 };
	char *error = NULL;

	(void)state;
	assert_int_equal(ini_read_dir("/nonexistent/dir", on_item, &log, &error), 0);
}

static void test_what_cannot_be_read_is_said_with_its_path(void **state)
{
	const struct temp_dir dir = temp_dir_make();
	struct log log = { 0 };
	char *error = NULL;

	(void)state;
	assert_int_equal(ini_read_file("/nonexistent.conf", on_item, &log, &error), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent.conf: cannot be opened: "));
	free(error);
	assert_int_equal(ini_read_file(dir.path, on_item, &log, &error), -EISDIR);
	assert_non_null(strstr(error, ": cannot be read: "));
	free(error);
	temp_dir_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_items_come_with_their_lines),
		cmocka_unit_test(test_comments_end_a_line_only_after_a_blank),
		cmocka_unit_test(test_line_ends_of_all_kinds_are_read),
		cmocka_unit_test(test_a_byte_order_mark_is_skipped),
		cmocka_unit_test(test_sections_without_keys_are_seen),
		cmocka_unit_test(test_values_may_hold_what_separates_elsewhere),
		cmocka_unit_test(test_the_longest_line_is_read_whole),
		cmocka_unit_test(test_what_inih_would_cut_or_misread_is_refused),
		cmocka_unit_test(test_the_same_key_in_two_sections_is_fine),
		cmocka_unit_test(test_nul_bytes_are_refused),
		cmocka_unit_test(test_long_lines_and_names_are_refused),
		cmocka_unit_test(test_the_first_error_is_the_one_reported),
		cmocka_unit_test(test_files_of_a_directory_are_read_in_byte_order),
		cmocka_unit_test(test_a_missing_directory_has_no_files),
		cmocka_unit_test(test_what_cannot_be_read_is_said_with_its_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
