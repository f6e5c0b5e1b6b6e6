// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tools/pagefold/cli.h"
#include "tools/pagefold/client.h"
#include "tools/pagefold/output.h"

/* A screenful below the table of VMs; --json has them all. */
#define PAIRS_SHOWN 20

/* It is made once a pass has come to a point where it can be: one that reads a large host within a
 * small cpu-percent takes many minutes. */
#define PATIENCE_S 3600L

/* Two names, two pids and two numbers in 80 columns. */
#define NAME_CHARACTERS 16

/* A longer name ends with a plus sign. */
static struct output_cell output_name(const json_t *value)
{
	struct output_cell cell = output_string(value);
	size_t characters = 0, last = 0;

	for (size_t i = 0; cell.text[i]; i++) {
		if (((unsigned char)cell.text[i] & 0xc0) == 0x80)
			continue;
		if (++characters == NAME_CHARACTERS)
			last = i;
	}
	if (characters > NAME_CHARACTERS)
		memcpy(&cell.text[last], "+", sizeof("+"));
	return cell;
}

static const struct output_column vm_columns[] = {
	{ "NAME", false, "name", output_name },
	{ "PID", true, "pid", output_integer },
	{ "GROUP", false, "group", output_name },
	{ "ZERO MiB", true, "zero_bytes", output_mib },
	{ "SELF", true, "self_bytes", output_mib },
	{ "CROSS", true, "cross_bytes", output_mib },
	{ "SAVEABLE", true, "saveable_bytes", output_mib },
};

static const struct output_column pair_columns[] = {
	{ "NAME", false, "name", output_name },
	{ "PID", true, "pid", output_integer },
	{ "WITH", false, "with", output_name },
	{ "PID", true, "with_pid", output_integer },
	{ "COMMON MiB", true, "common_bytes", output_mib },
	{ "SAVES", true, "cross_bytes", output_mib },
};

static json_t *of_pair(const json_t *pair, const char *key, size_t which)
{
	return json_array_get(json_object_get(pair, key), which);
}

/* A row of the table; what both save together is one number. NULL: no memory. */
static json_t *pair_row(const json_t *pair)
{
	const json_int_t cross_bytes = json_integer_value(of_pair(pair, "cross_bytes", 0)) +
				       json_integer_value(of_pair(pair, "cross_bytes", 1));

	// clang-format off
	return json_pack("{sO* sO* sO* sO* sO* sI}",
		"name", of_pair(pair, "names", 0),
		"pid", of_pair(pair, "pids", 0),
		"with", of_pair(pair, "names", 1),
		"with_pid", of_pair(pair, "pids", 1),
		"common_bytes", json_object_get(pair, "common_bytes"),
		"cross_bytes", cross_bytes);
	// clang-format on
}

static void print_pairs(const json_t *matrix)
{
	const json_t *pairs = json_object_get(matrix, "pairs");
	const size_t count = json_array_size(pairs) +
			     (size_t)json_integer_value(json_object_get(matrix, "pairs_omitted"));
	json_t *rows = json_array();

	for (size_t i = 0; i < json_array_size(pairs) && i < PAIRS_SHOWN; i++)
		(void)json_array_append_new(rows, pair_row(json_array_get(pairs, i)));
	putchar('\n');
	if (json_array_size(rows) > 0)
		output_table(pair_columns, ARRAY_SIZE(pair_columns), rows);
	else
		puts("No two of them have anything in common but zero pages.");
	if (count > json_array_size(rows))
		printf("%zu more pairs have something in common; --json shows %s.\n",
			count - json_array_size(rows),
			count > json_array_size(pairs) ? "more of them" : "them");
	json_decref(rows);
}

static void print_matrix(const json_t *matrix)
{
	const json_t *vms = json_object_get(matrix, "vms");

	if (json_array_size(vms) == 0) {
		puts("There is no VM that is read.");
		return;
	}
	output_table(vm_columns, ARRAY_SIZE(vm_columns), vms);
	print_pairs(matrix);
}

enum cli_exit cmd_matrix(const struct cli *cli)
{
	const struct client_question question = {
		.cli = cli,
		.method = "GET",
		.path = "/v1/matrix",
		.timeout_s = PATIENCE_S,
		.complaints = stderr,
	};
	json_t *answer;
	const enum cli_exit r = client_ask(&question, &answer);

	if (r != CLI_DONE)
		return r;
	if (cli->json)
		output_json(answer);
	else
		print_matrix(answer);
	json_decref(answer);
	return r;
}
