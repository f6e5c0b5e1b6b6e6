// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/options.h"

#include <fcntl.h>
#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/unit/temp_dir.h"

#define ARGUMENTS_MOST 8

/* What was printed on stdout and stderr. */
static char printed[8192];

static int stream_divert(FILE *stream, const char *path)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int saved;

	(void)fflush(stream);
	saved = dup(fileno(stream));
	assert_true(fd >= 0 && saved >= 0);
	assert_true(dup2(fd, fileno(stream)) >= 0);
	(void)close(fd);
	return saved;
}

static void stream_restore(FILE *stream, int saved)
{
	(void)fflush(stream);
	assert_true(dup2(saved, fileno(stream)) >= 0);
	(void)close(saved);
}

/* arguments: NULL-terminated, without the program's name. */
static enum options_verdict parse(const char *const arguments[], struct options *ret)
{
	const struct temp_dir dir = temp_dir_make();
	char *argv[ARGUMENTS_MOST + 2] = { (char *)(uintptr_t)"pagefoldd" };
	const char *path = temp_dir_path(&dir, "printed");
	enum options_verdict verdict;
	int argc = 1, out, err;
	char *text;

	while (*arguments && argc <= ARGUMENTS_MOST)
		argv[argc++] = (char *)(uintptr_t)*arguments++;
	optind = 0; /* glibc: start afresh */
	out = stream_divert(stdout, path);
	err = stream_divert(stderr, path);
	verdict = options_parse(argc, argv, ret);
	stream_restore(stderr, err);
	stream_restore(stdout, out);
	text = temp_dir_read(&dir, "printed");
	(void)snprintf(printed, sizeof(printed), "%s", text);
	free(text);
	temp_dir_remove(&dir);
	return verdict;
}

#define PARSE(ret, ...) parse((const char *const[]){ __VA_ARGS__, NULL }, ret)

static void test_options_have_defaults(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(parse((const char *const[]){ NULL }, &options), OPTIONS_RUN);
	assert_null(options.config_path);
	assert_string_equal(options.runtime_dir, "/run/pagefold");
	assert_string_equal(options.state_dir, "/var/lib/pagefold");
	assert_false(options.once || options.debug);
	for (int i = 0; i < FEATURE_COUNT; i++)
		assert_false(options.disabled[i]);
	assert_string_equal(printed, "");
}

static void test_options_are_all_taken(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(PARSE(&options, "-c", "a.conf", "--runtime-dir", "/r", "--state-dir=/s",
				 "--once", "--debug"), OPTIONS_RUN);
	assert_string_equal(options.config_path, "a.conf");
	assert_string_equal(options.runtime_dir, "/r");
	assert_string_equal(options.state_dir, "/s");
	assert_true(options.once && options.debug);
	assert_int_equal(PARSE(&options, "--config=b.conf"), OPTIONS_RUN);
	assert_string_equal(options.config_path, "b.conf");
}

static void test_options_features_are_disabled_one_by_one(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(PARSE(&options, "--disable-feature", "ring", "--disable-feature=collapse"),
		OPTIONS_RUN);
	for (int i = 0; i < FEATURE_COUNT; i++)
		assert_int_equal(options.disabled[i], i == FEATURE_RING || i == FEATURE_COLLAPSE);
}

static void test_options_wrong_ones_are_refused_with_a_sentence(void **state)
{
	static const struct {
		const char *arguments[3];
		const char *says;
	} cases[] = {
		{ { "--no-such-option" }, "no-such-option" },
		{ { "-x" }, "'x'" },
		{ { "-c" }, "'c'" },
		{ { "--state-dir" }, "state-dir" },
		{ { "--once=yes" }, "once" },
		{ { "extra" }, "unexpected argument \"extra\"" },
		{ { "--once", "extra" }, "unexpected argument \"extra\"" },
		{ { "--disable-feature", "warp" }, "there is no feature \"warp\"" },
		{ { "--disable-feature", "" }, "there is no feature \"\"" },
		{ { "--disable-feature" }, "disable-feature" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct options options = { .runtime_dir = "untouched" };

		assert_int_equal(parse(cases[i].arguments, &options), OPTIONS_EXIT_USAGE);
		assert_string_equal(options.runtime_dir, "untouched");
		assert_non_null(strstr(printed, cases[i].says));
		assert_non_null(strstr(printed, "pagefoldd --help"));
	}
}

static void test_options_help_names_every_option_and_feature(void **state)
{
	static const char *const options_named[] = { "--config", "--runtime-dir", "--state-dir",
		"--once", "--disable-feature", "--debug", "--help", "--version" };
	struct options options;

	(void)state;
	assert_int_equal(PARSE(&options, "--help"), OPTIONS_EXIT_OK);
	for (size_t i = 0; i < ARRAY_SIZE(options_named); i++)
		assert_non_null(strstr(printed, options_named[i]));
	for (int i = 0; i < FEATURE_COUNT; i++)
		assert_non_null(strstr(printed, feature_name((enum feature)i)));
	assert_int_equal(PARSE(&options, "-h"), OPTIONS_EXIT_OK);
}

static void test_options_version_is_one_line(void **state)
{
	struct options options;

	(void)state;
	assert_int_equal(PARSE(&options, "--version"), OPTIONS_EXIT_OK);
	assert_string_equal(printed, "pagefoldd " PAGEFOLD_VERSION "\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_have_defaults),
		cmocka_unit_test(test_options_are_all_taken),
		cmocka_unit_test(test_options_features_are_disabled_one_by_one),
		cmocka_unit_test(test_options_wrong_ones_are_refused_with_a_sentence),
		cmocka_unit_test(test_options_help_names_every_option_and_feature),
		cmocka_unit_test(test_options_version_is_one_line),
	};

	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
