// SPDX-License-Identifier: GPL-2.0-or-later
/* A process that checks its own memory for ever: on the host, or in a Linux guest. Options and line
 * protocol: checker_cli.h. */
#include "tools/lab/guest/checker_cli.h"

int main(int argc, char **argv)
{
	static struct checker checker;
	struct pagecheck *check = &checker.check;
	struct pagecheck_error error;
	uint64_t pages;

	checker_parse(&checker, argc, argv);
	check->memory = checker_map(checker.mib << 20, checker.hugepages);
	check->pages = calloc(check->page_count, sizeof *check->pages);
	if (!check->pages)
		return 2;
	pagecheck_fill_all(check);
	checker_say_ready(&checker, check->memory);

	for (;;) {
		if (!pagecheck_round(check, checker.hot_writes, checker.stray_writes, &error))
			return checker_say_wrong(&checker, &error);
		checker.rounds++;
		switch (checker_listen(&checker, &pages)) {
		case CHECKER_GO_ON:
			break;
		case CHECKER_WRITE:
			pagecheck_rewrite_some(check, 0, check->page_count, pages);
			printf("wrote %llu\n", (unsigned long long)pages);
			break;
		case CHECKER_STOP:
			checker_say_status(&checker, 0);
			return 0;
		}
	}
}
