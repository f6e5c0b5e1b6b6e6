// SPDX-License-Identifier: GPL-2.0-or-later
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "tools/pagefold/cli.h"

/* What the answer says is lost where it cannot be written. */
static enum cli_exit flush(enum cli_exit r)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return r;
	perror("pagefold: the output cannot be written");
	return r == CLI_DONE ? CLI_FAILED : r;
}

static enum cli_exit run(const struct cli *cli)
{
	if (cli->given & CLI_HELP) {
		cli_print_help(cli->command);
		return CLI_DONE;
	}
	if (cli->given & CLI_VERSION) {
		puts("pagefold " PAGEFOLD_VERSION);
		return CLI_DONE;
	}
	if (!cli->command) {
		fputs("pagefold: which command? See pagefold --help.\n", stderr);
		return CLI_USAGE;
	}
	return cli->command->run(cli);
}

int main(int argc, char **argv)
{
	struct cli cli;
	enum cli_exit r;

	(void)setlocale(LC_CTYPE, "");
	if (argc == 2 && strcmp(argv[1], "--list-commands") == 0) {
		cli_print_names();
		return (int)flush(CLI_DONE);
	}
	r = cli_parse(argc, argv, &cli);
	if (r == CLI_DONE)
		r = run(&cli);
	cli_done(&cli);
	return (int)flush(r);
}
