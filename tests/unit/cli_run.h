/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a command of pagefold(1) in this process and keeps what it writes. */
#ifndef PAGEFOLD_TESTS_CLI_RUN_H
#define PAGEFOLD_TESTS_CLI_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/unit/temp_dir.h"
#include "tools/pagefold/cli.h"

#define WORDS_MAX 12

/* Of the test's files and of what commands write; the test makes and removes it. */
static struct temp_dir directory;

struct result {
	enum cli_exit code;
	char *out, *err;
};

static inline void result_done(struct result *result)
{
	free(result->out);
	free(result->err);
}
#define _cleanup_result_ _cleanup_(result_done)

/* Runs words (NULL-terminated), with what it writes in files. */
static inline struct result run_words(const char *const words[])
{
	const int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	struct result result;
	char *argv[WORDS_MAX + 2] = { (char *)(uintptr_t) "pagefold" };
	struct cli cli;
	int argc = 1;

	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	(void)fflush(stdout);
	assert_non_null(freopen(temp_dir_path(&directory, "out"), "we", stdout));
	assert_non_null(freopen(temp_dir_path(&directory, "err"), "we", stderr));
	result.code = cli_parse(argc, argv, &cli);
	if (result.code == CLI_DONE)
		result.code = cli.command->run(&cli);
	cli_done(&cli);
	(void)fflush(stdout);
	(void)fflush(stderr);
	assert_true(dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0);
	close_fd(out);
	close_fd(err);
	result.out = temp_dir_read(&directory, "out");
	result.err = temp_dir_read(&directory, "err");
	return result;
}
#define RUN(...) run_words((const char *const[]){ __VA_ARGS__, NULL })

#endif
