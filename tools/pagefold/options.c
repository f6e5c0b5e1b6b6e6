// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/cli.h"

#include <getopt.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/number.h"

#define DEFAULT_SOCKET "/run/pagefold/api.sock"

static const struct {
	const char *name, *argument, *help;
	enum cli_option option;
} options[] = {
	{ "json", NULL, "Print JSON", CLI_JSON },
	{ "socket", "PATH", "The daemon's socket (else PAGEFOLD_SOCKET, else " DEFAULT_SOCKET ")",
		CLI_SOCKET },
	{ "all", NULL, "Every VM", CLI_ALL },
	{ "force", NULL, "Even where the memory for it may be missing", CLI_FORCE },
	{ "pid", "PID", "Only this process; may be repeated", CLI_PID },
	{ "interval", "SECONDS", "How often to look: 0.1 to 3600, else 2", CLI_INTERVAL },
	{ "count", "N", "Look N times, print each, and end", CLI_COUNT },
	{ "help", NULL, "Print this help", CLI_HELP },
	{ "version", NULL, "Print the version", CLI_VERSION },
};

bool cli_option_text(
	size_t index, enum cli_option *ret_option, const char **ret_words, const char **ret_help)
{
	static char words[32];

	if (index >= ARRAY_SIZE(options))
		return false;
	(void)snprintf(words, sizeof(words), "--%s%s%s", options[index].name,
		options[index].argument ? " " : "",
		options[index].argument ? options[index].argument : "");
	*ret_option = options[index].option;
	*ret_words = words;
	*ret_help = options[index].help;
	return true;
}

static enum cli_exit add_pid(struct cli *cli, const char *text)
{
	uint64_t pid;
	pid_t *pids;

	if (number_parse_u64(text, 10, &pid) < 0 || pid == 0 || pid > INT_MAX) {
		fprintf(stderr, "pagefold: --pid takes a process id, and \"%s\" is none.\n", text);
		return CLI_USAGE;
	}
	pids = reallocarray(cli->pids, cli->pid_count + 1, sizeof(*pids));
	if (!pids) {
		fputs("pagefold: out of memory.\n", stderr);
		return CLI_FAILED;
	}
	cli->pids = pids;
	pids[cli->pid_count++] = (pid_t)pid;
	return CLI_DONE;
}

static enum cli_exit set_interval(struct cli *cli, const char *text)
{
	char *end;

	cli->interval = strtod(text, &end);
	/* Also where it is no number at all: no comparison with NAN holds. */
	if (strspn(text, "0123456789.") == strlen(text) && !*end && cli->interval >= 0.1 &&
		cli->interval <= 3600)
		return CLI_DONE;
	fprintf(stderr, "pagefold: --interval takes seconds from 0.1 to 3600, not \"%s\".\n", text);
	return CLI_USAGE;
}

static enum cli_exit set_count(struct cli *cli, const char *text)
{
	if (number_parse_u64(text, 10, &cli->count) == 0 && cli->count > 0)
		return CLI_DONE;
	fprintf(stderr, "pagefold: --count takes a number from 1, not \"%s\".\n", text);
	return CLI_USAGE;
}

static enum cli_exit take_option(struct cli *cli, enum cli_option option, const char *value)
{
	cli->given |= option;
	switch (option) {
	case CLI_JSON:
		cli->json = true;
		return CLI_DONE;
	case CLI_SOCKET:
		cli->socket = value;
		return CLI_DONE;
	case CLI_ALL:
		cli->all = true;
		return CLI_DONE;
	case CLI_FORCE:
		cli->force = true;
		return CLI_DONE;
	case CLI_PID:
		return add_pid(cli, value);
	case CLI_INTERVAL:
		return set_interval(cli, value);
	case CLI_COUNT:
		return set_count(cli, value);
	case CLI_HELP:
	case CLI_VERSION:
		return CLI_DONE;
	}
	return CLI_DONE;
}

/* What comes after argv[0]; stops at the first word that is no option where only_leading. */
static enum cli_exit parse_options(int argc, char **argv, bool only_leading, struct cli *cli)
{
	struct option long_options[ARRAY_SIZE(options) + 1] = { 0 };
	enum cli_exit r;
	int index;

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		long_options[i] = (struct option){
			.name = options[i].name,
			.has_arg = options[i].argument ? required_argument : no_argument,
			.val = (int)i + 1,
		};
	opterr = 0;
	while ((index = getopt_long(argc, argv, only_leading ? "+:" : ":", long_options, NULL)) !=
		-1) {
		if (index == ':') {
			fprintf(stderr, "pagefold: %s wants a value.\n", argv[optind - 1]);
			return CLI_USAGE;
		}
		if (index == '?') {
			fprintf(stderr, "pagefold: %s is not understood; see pagefold --help.\n",
				optind > 0 ? argv[optind - 1] : "an option");
			return CLI_USAGE;
		}
		r = take_option(cli, options[index - 1].option, optarg);
		if (r != CLI_DONE)
			return r;
	}
	return CLI_DONE;
}

/* How many of the words are the command's name; 0: another command. */
static int match_name(const char *name, int argc, char **argv)
{
	int words = 0;

	while (*name) {
		const size_t length = strcspn(name, " ");

		if (words == argc || strlen(argv[words]) != length ||
			strncmp(argv[words], name, length) != 0)
			return 0;
		name += length + (name[length] == ' ' ? 1 : 0);
		words++;
	}
	return words;
}

static enum cli_exit find_command(int argc, char **argv, struct cli *cli)
{
	if (optind == argc)
		return CLI_DONE;
	for (const struct cli_command *command = cli_commands; command->name; command++) {
		const int words = match_name(command->name, argc - optind, argv + optind);

		if (words == 0)
			continue;
		cli->command = command;
		optind += words;
		return CLI_DONE;
	}
	fprintf(stderr, "pagefold: there is no command \"%s\"; see pagefold --help.\n",
		argv[optind]);
	return CLI_USAGE;
}

static enum cli_exit check_usage(const struct cli *cli)
{
	const struct cli_command *command = cli->command;

	if (!command || (cli->given & (CLI_HELP | CLI_VERSION)))
		return CLI_DONE;
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (cli->given & ~command->options & options[i].option) {
			fprintf(stderr, "pagefold: --%s is not for pagefold %s.\n", options[i].name,
				command->name);
			return CLI_USAGE;
		}
	if (cli->argument_count < command->arguments_min ||
		cli->argument_count > command->arguments_max) {
		fprintf(stderr, "Usage: pagefold %s%s%s\n", command->name,
			*command->synopsis ? " " : "", command->synopsis);
		return CLI_USAGE;
	}
	return CLI_DONE;
}

enum cli_exit cli_parse(int argc, char **argv, struct cli *ret)
{
	const char *environment = getenv("PAGEFOLD_SOCKET");
	enum cli_exit r;

	*ret = (struct cli){
		.socket = environment && *environment ? environment : DEFAULT_SOCKET,
	};
	optind = 0; /* glibc's way to begin anew: it keeps how it takes words that are no options */
	r = parse_options(argc, argv, true, ret);
	if (r == CLI_DONE)
		r = find_command(argc, argv, ret);
	if (r == CLI_DONE && ret->command) {
		/* The name's last word takes the place of the program's. */
		argc -= optind - 1;
		argv += optind - 1;
		optind = 0;
		r = parse_options(argc, argv, false, ret);
	}
	if (r != CLI_DONE)
		return r;
	ret->arguments = argv + optind;
	ret->argument_count = (size_t)(argc - optind);
	return check_usage(ret);
}

void cli_done(struct cli *cli)
{
	free(cli->pids);
	*cli = (struct cli){ 0 };
}
