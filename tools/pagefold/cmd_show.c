// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "common/cleanup.h"
#include "tools/pagefold/cli.h"
#include "tools/pagefold/client.h"
#include "tools/pagefold/output.h"

struct field {
	const char *label, *key, *unit;
	struct output_cell (*cell)(const json_t *value);
};

static const struct field fields[] = {
	{ "Name", "name", "", output_string },
	{ "UUID", "uuid", "", output_string },
	{ "Pid", "pid", "", output_integer },
	{ "Kind", "kind", "", output_string },
	{ "Mode", "mode", "", output_string },
	{ "Group", "group", "", output_string },
	{ "Hook", "hook", "", output_string },
	{ "State", "state", "", output_string },
	{ "RAM", "ram_bytes", " MiB", output_mib },
	{ "Resident", "resident_bytes", " MiB", output_mib },
	{ "Pages read", "pages_scanned", "", output_integer },
	{ "Zero pages", "zero_pages", "", output_integer },
	{ "Duplicates", "duplicate_pages", " pages", output_integer },
	{ "Potential", "potential_bytes", " MiB more", output_mib },
	{ "Reclaimed", "reclaimed_bytes", " MiB", output_mib },
	{ "  zero pages", "reclaimed_zero_bytes", " MiB", output_mib },
	{ "  own twins", "reclaimed_self_bytes", " MiB", output_mib },
	{ "  with others", "reclaimed_cross_bytes", " MiB", output_mib },
	{ "Predicted", "predicted_bytes", " MiB by the plans", output_mib },
	{ "  delivered", "delivered_bytes", " MiB by the kernel", output_mib },
	{ "  error", "prediction_error_percent", " %", output_error_percent },
	{ "Exposure", "exposure_bytes", " MiB", output_mib },
	{ "Broken folds", "cow_breaks_estimate", "", output_integer },
	{ "Stall", "stall_seconds_estimate", " s", output_short_seconds },
	{ "  longest", "stall_longest_seconds", " s", output_short_seconds },
	{ "CPU", "cpu_seconds", " s", output_seconds },
	{ "Huge pages", "hugepages_lost", " lost", output_integer },
};

static const struct field verdict_fields[] = {
	{ "Worth it?", "word", "", output_string },
	{ "  net", "net_bytes", " MiB", output_mib },
	{ "  CPU", "cpu_seconds_per_hour", " s an hour", output_seconds },
	{ "  delay", "stall_seconds_per_hour", " s an hour", output_seconds },
	{ "  gain", "net_bytes_per_cpu_second", " MiB for a second of CPU an hour", output_mib },
	{ "", "net_bytes_per_stall_second", " MiB for a second of delay an hour", output_mib },
	{ "  because", "reason", "", output_string },
};

static void print_fields_of(const json_t *object, const struct field *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const json_t *value = json_object_get(object, list[i].key);

		printf("%-14s", list[i].label);
		if (json_is_string(value))
			output_text(stdout, json_string_value(value));
		else
			printf("%s%s", list[i].cell(value).text, json_is_null(value) ? "" : list[i].unit);
		putchar('\n');
	}
}

static void print_fields(const json_t *vm)
{
	const char *reason = json_string_value(json_object_get(vm, "reason"));

	print_fields_of(vm, fields, ARRAY_SIZE(fields));
	print_fields_of(json_object_get(vm, "verdict"), verdict_fields, ARRAY_SIZE(verdict_fields));
	if (!reason)
		return;
	printf("%-14s", "Reason");
	output_text(stdout, reason);
	putchar('\n');
}

static const struct output_column columns[] = {
	{ "EXTENT", true, "start", output_address },
	{ "MiB", true, "length", output_mib },
	{ "PAGES READ", true, "pages_read", output_integer },
	{ "ZERO", true, "zero_pages", output_integer },
	{ "DUPLICATE", true, "duplicate_pages", output_integer },
	{ "HUGE", false, "huge", output_yes_or_no },
	{ "FOLDED", false, "folded", output_yes_or_no },
};

static void print_extents(const json_t *extents)
{
	if (json_array_size(extents) == 0)
		return;
	putchar('\n');
	output_table(columns, ARRAY_SIZE(columns), extents);
}

enum cli_exit cmd_show(const struct cli *cli)
{
	_cleanup_free_ char *path = client_vm_path(cli->arguments[0], "");
	json_t *answer;
	const enum cli_exit r = client_request(cli, "GET", path, NULL, &answer);

	if (r != CLI_DONE)
		return r;
	if (cli->json) {
		output_json(answer);
	} else {
		print_fields(answer);
		print_extents(json_object_get(answer, "extents"));
	}
	json_decref(answer);
	return r;
}
