/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pagefold(1): one table of commands (commands.c), one file per command. Dispatch, help and the list for
 * completion come from the table.
 */
#ifndef PAGEFOLD_CLI_H
#define PAGEFOLD_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum cli_exit { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_UNREACHABLE = 3 };

/* Which options a command takes. */
enum cli_option {
	CLI_HELP = 1 << 0,
	CLI_VERSION = 1 << 1,
	CLI_JSON = 1 << 2,
	CLI_SOCKET = 1 << 3,
	CLI_ALL = 1 << 4,
	CLI_FORCE = 1 << 5,
	CLI_PID = 1 << 6,
	CLI_INTERVAL = 1 << 7,
	CLI_COUNT = 1 << 8,
};

struct cli_command;

/* A command line that was understood. */
struct cli {
	const struct cli_command *command; /* NULL: none was given */
	unsigned given;                    /* enum cli_option */
	const char *socket;
	bool json, all, force;
	double interval; /* of --interval, in seconds; 0: not given */
	uint64_t count;  /* of --count; 0: not given */
	pid_t *pids; /* of --pid */
	size_t pid_count;
	char **arguments; /* what is left */
	size_t argument_count;
};

struct cli_command {
	const char *name;     /* one word, or several */
	const char *synopsis; /* what follows the name */
	const char *help;     /* one line, a sentence without its period */
	unsigned options;     /* enum cli_option, besides help */
	size_t arguments_min, arguments_max;
	enum cli_exit (*run)(const struct cli *cli);
};

/* commands.c; ends with a NULL name */
extern const struct cli_command cli_commands[];

enum cli_exit cmd_status(const struct cli *cli);
enum cli_exit cmd_vms(const struct cli *cli);
enum cli_exit cmd_top(const struct cli *cli);
enum cli_exit cmd_show(const struct cli *cli);
enum cli_exit cmd_plan(const struct cli *cli);
enum cli_exit cmd_matrix(const struct cli *cli);
enum cli_exit cmd_estimate(const struct cli *cli);
enum cli_exit cmd_set(const struct cli *cli);
enum cli_exit cmd_release(const struct cli *cli);
enum cli_exit cmd_pause(const struct cli *cli);
enum cli_exit cmd_resume(const struct cli *cli);
enum cli_exit cmd_config_check(const struct cli *cli);

/* options.c: CLI_DONE, or CLI_USAGE after saying why. cli_done() in both cases. */
enum cli_exit cli_parse(int argc, char **argv, struct cli *ret);
void cli_done(struct cli *cli);
/* help.c */
void cli_print_help(const struct cli_command *command); /* NULL: of the whole program */
void cli_print_names(void);
/* options.c, for help.c: of one option; false: no more */
bool cli_option_text(size_t index, enum cli_option *ret_option, const char **ret_words,
	const char **ret_help);

#endif
