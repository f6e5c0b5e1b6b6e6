// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "common/cleanup.h"
#include "tools/pagefold/cli.h"
#include "tools/pagefold/client.h"
#include "tools/pagefold/output.h"

static const struct output_column columns[] = {
	{ "ACTION", false, "action", output_string },
	{ "NAME", false, "name", output_string },
	{ "PID", true, "pid", output_integer },
	{ "EXTENT", true, "start", output_address },
	{ "MiB", true, "length", output_mib },
	{ "DUPLICATE", true, "duplicate_pages", output_integer },
	{ "ZERO", true, "zero_pages", output_integer },
	{ "HUGE", false, "huge", output_yes_or_no },
	{ "REASON", false, "reason", output_string },
};

static void print_plan(const json_t *plan)
{
	const json_t *entries = json_object_get(plan, "entries");

	if (json_integer_value(json_object_get(plan, "pass")) == 0) {
		puts("No pass has finished yet, so there is no plan.");
		return;
	}
	if (json_array_size(entries) == 0) {
		puts("Nothing to do.");
		return;
	}
	output_table(columns, ARRAY_SIZE(columns), entries);
	printf("%zu extents; %s pages are predicted to fold.\n", json_array_size(entries),
		output_integer(json_object_get(plan, "fold_pages")).text);
}

enum cli_exit cmd_plan(const struct cli *cli)
{
	json_t *answer;
	const enum cli_exit r = client_request(cli, "GET", "/v1/plan", NULL, &answer);

	if (r != CLI_DONE)
		return r;
	if (cli->json)
		output_json(answer);
	else
		print_plan(answer);
	json_decref(answer);
	return r;
}
