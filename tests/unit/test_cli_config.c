// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/unit/cli_run.h"

static int set_up(void **state)
{
	(void)state;
	directory = temp_dir_make();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	temp_dir_remove(&directory);
	return 0;
}

static void test_config_check_tells_file_and_line(void **state)
{
	char text[256], place[256];
	_cleanup_free_ char *path = NULL;

	(void)state;
	(void)snprintf(text, sizeof(text), "[pagefold]\npolicy-dir = %s\n",
		temp_dir_path(&directory, "policy.d"));
	path = strdup(temp_dir_write(&directory, "good.conf", text));
	{
		_cleanup_result_ struct result result = RUN("config", "check", path);

		assert_int_equal(result.code, CLI_DONE);
		assert_non_null(strstr(result.out, "is fine; 0 policies in "));
	}
	free(path);
	path = strdup(temp_dir_write(&directory, "bad.conf", "[pagefold]\n\ncpu-percent = 0\n"));
	(void)snprintf(place, sizeof(place), "%s:3: ", path);
	{
		_cleanup_result_ struct result result = RUN("config", "check", path);
		_cleanup_result_ struct result json = RUN("config", "check", path, "--json");

		assert_int_equal(result.code, CLI_FAILED);
		assert_ptr_equal(strstr(result.err, place), result.err);
		assert_int_equal(json.code, CLI_FAILED);
		assert_non_null(strstr(json.out, "\"valid\": false"));
		assert_non_null(strstr(json.out, place));
	}
}

static void test_config_check_reads_the_policies_too(void **state)
{
	char text[256];
	_cleanup_free_ char *path = NULL;

	(void)state;
	(void)snprintf(text, sizeof(text), "[pagefold]\npolicy-dir = %s\n",
		temp_dir_path(&directory, "policies"));
	path = strdup(temp_dir_write(&directory, "good.conf", text));
	assert_int_equal(mkdir(temp_dir_path(&directory, "policies"), 0755), 0);
	temp_dir_write(&directory, "policies/a.conf", "[target a]\nmatch = web\n");
	{
		_cleanup_result_ struct result result = RUN("config", "check", path);

		assert_int_equal(result.code, CLI_FAILED);
		assert_non_null(strstr(result.err, "/policies/a.conf:2: match is \"web\""));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_config_check_tells_file_and_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_config_check_reads_the_policies_too, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
