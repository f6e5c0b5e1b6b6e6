// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "tools/pagefold/cli.h"

#define WORDS_MAX 12

/* Splits line at its blanks and parses it; the words live until the next call. */
static enum cli_exit parse(const char *line, struct cli *ret)
{
	static char text[256];
	static char *words[WORDS_MAX + 1];
	int count = 0;

	(void)snprintf(text, sizeof(text), "pagefold %s", line);
	for (char *word = strtok(text, " "); word && count < WORDS_MAX; word = strtok(NULL, " "))
		words[count++] = word;
	words[count] = NULL;
	return cli_parse(count, words, ret);
}

static void test_options_go_before_and_after_the_command(void **state)
{
	static const char *const lines[] = {
		"--json --socket /x/s show web1",
		"show web1 --json --socket /x/s",
		"--socket=/x/s show --json web1",
		"show --socket /x/s --json -- web1",
	};
	struct cli cli;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		assert_int_equal(parse(lines[i], &cli), CLI_DONE);
		assert_string_equal(cli.command->name, "show");
		assert_true(cli.json);
		assert_string_equal(cli.socket, "/x/s");
		assert_int_equal(cli.argument_count, 1);
		assert_string_equal(cli.arguments[0], "web1");
		cli_done(&cli);
	}
}

static void test_the_socket_comes_from_the_environment_or_the_default(void **state)
{
	struct cli cli;

	(void)state;
	assert_int_equal(unsetenv("PAGEFOLD_SOCKET"), 0);
	assert_int_equal(parse("vms", &cli), CLI_DONE);
	assert_string_equal(cli.socket, "/run/pagefold/api.sock");
	assert_int_equal(setenv("PAGEFOLD_SOCKET", "/e/s", 1), 0);
	assert_int_equal(parse("vms", &cli), CLI_DONE);
	assert_string_equal(cli.socket, "/e/s");
	assert_int_equal(parse("vms --socket /o/s", &cli), CLI_DONE);
	assert_string_equal(cli.socket, "/o/s");
	assert_int_equal(unsetenv("PAGEFOLD_SOCKET"), 0);
}

static void test_a_name_of_two_words_is_one_command(void **state)
{
	struct cli cli;

	(void)state;
	assert_int_equal(parse("config check /x.conf --json", &cli), CLI_DONE);
	assert_string_equal(cli.command->name, "config check");
	assert_int_equal(cli.argument_count, 1);
}

static void test_a_vm_may_be_called_like_an_option(void **state)
{
	struct cli cli;

	(void)state;
	assert_int_equal(parse("show -- --all", &cli), CLI_DONE);
	assert_string_equal(cli.arguments[0], "--all");
}

static void test_pids_add_up(void **state)
{
	struct cli cli;

	(void)state;
	assert_int_equal(parse("estimate --pid 12 --pid=4711", &cli), CLI_DONE);
	assert_int_equal(cli.pid_count, 2);
	assert_int_equal(cli.pids[0], 12);
	assert_int_equal(cli.pids[1], 4711);
	cli_done(&cli);
}

static void test_wrong_usage_is_told_apart(void **state)
{
	static const char *const lines[] = {
		"frobnicate",
		"config",
		"config chec",
		"status web1",
		"show",
		"show a b",
		"set web1",
		"release a b",
		"status --all",
		"status --nonsense",
		"status --socket",
		"status -j",
		"vms --pid 3",
		"estimate --socket /x",
		"estimate --pid 0",
		"estimate --pid x",
		"estimate --pid 99999999999",
		"config check --socket /x",
		"--all",
	};
	struct cli cli;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		const enum cli_exit r = parse(lines[i], &cli);

		/* Without a command, main() says what is missing. */
		if (r != CLI_USAGE && cli.command)
			fail_msg("\"%s\" was taken", lines[i]);
		cli_done(&cli);
	}
}

static void test_help_needs_no_arguments(void **state)
{
	struct cli cli;

	(void)state;
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		char line[64];

		(void)snprintf(line, sizeof(line), "%s --help", command->name);
		assert_int_equal(parse(line, &cli), CLI_DONE);
		assert_ptr_equal(cli.command, command);
		assert_true(cli.given & CLI_HELP);
	}
}

static void test_every_command_takes_json(void **state)
{
	(void)state;
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		assert_true(command->options & CLI_JSON);
		assert_non_null(command->run);
		assert_true(strlen(command->help) > 10);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options_go_before_and_after_the_command),
		cmocka_unit_test(test_the_socket_comes_from_the_environment_or_the_default),
		cmocka_unit_test(test_a_name_of_two_words_is_one_command),
		cmocka_unit_test(test_a_vm_may_be_called_like_an_option),
		cmocka_unit_test(test_pids_add_up),
		cmocka_unit_test(test_wrong_usage_is_told_apart),
		cmocka_unit_test(test_help_needs_no_arguments),
		cmocka_unit_test(test_every_command_takes_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
