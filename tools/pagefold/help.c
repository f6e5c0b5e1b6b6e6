// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/cli.h"

#include <stdio.h>
#include <string.h>

static void print_options(unsigned mask)
{
	const char *words, *help;
	enum cli_option option;

	puts("\nOptions:");
	for (size_t i = 0; cli_option_text(i, &option, &words, &help); i++)
		if (option & (mask | CLI_HELP))
			printf("  %-14s %s\n", words, help);
}

/* For completion: a line is a name, a tab and the options it takes. */
void cli_print_names(void)
{
	const char *words, *help;
	enum cli_option option;

	for (const struct cli_command *command = cli_commands; command->name; command++) {
		printf("%s\t", command->name);
		for (size_t i = 0; cli_option_text(i, &option, &words, &help); i++)
			if (option & (command->options | CLI_HELP))
				printf(" %.*s", (int)strcspn(words, " "), words);
		putchar('\n');
	}
}

static int usage_width(const struct cli_command *command)
{
	return (int)(strlen(command->name) + 1 + strlen(command->synopsis));
}

void cli_print_help(const struct cli_command *command)
{
	int width = 0;

	if (command) {
		printf("Usage: pagefold %s [OPTION]...%s%s\n\n%s.\n", command->name,
			*command->synopsis ? " " : "", command->synopsis, command->help);
		print_options(command->options);
		return;
	}
	puts("Usage: pagefold COMMAND [OPTION]...\n\n"
	     "Gives a KVM host its duplicate memory back: see what pagefoldd does, and steer "
	     "it.\n\n"
	     "Commands:");
	for (command = cli_commands; command->name; command++)
		width = usage_width(command) > width ? usage_width(command) : width;
	for (command = cli_commands; command->name; command++)
		printf("  %s %-*s  %s\n", command->name, width - (int)strlen(command->name) - 1,
			command->synopsis, command->help);
	print_options(CLI_JSON | CLI_SOCKET | CLI_VERSION);
	puts("\nA VM is its name, its uuid or pid:N. Exit: 0 done, 1 failed, 2 usage, 3 daemon not "
	     "reachable.\nSee pagefold(1).");
}
