// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/vm_table.h"

#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tools/pagefold/output.h"

static const struct output_column columns[] = {
	{ "NAME", false, "name", output_string },
	{ "PID", true, "pid", output_integer },
	{ "MODE", false, "mode", output_string },
	{ "GROUP", false, "group", output_string },
	{ "HOOK", false, "hook", output_string },
	{ "STATE", false, "state", output_string },
	{ "RAM MiB", true, "ram_bytes", output_mib },
	{ "RESIDENT", true, "resident_bytes", output_mib },
	{ "RECLAIMED", true, "reclaimed_bytes", output_mib },
	{ "POTENTIAL", true, "potential_bytes", output_mib },
	{ "CPU s", true, "cpu_seconds", output_seconds },
};

static void print_name(const json_t *vm)
{
	const char *name = json_string_value(json_object_get(vm, "name"));

	if (name && *name)
		output_text(stdout, name);
	else
		printf("pid:%lld", (long long)json_integer_value(json_object_get(vm, "pid")));
	fputs(": ", stdout);
}

/* That it is worth it is no news. */
static bool is_news(const char *word)
{
	return word && strcmp(word, "worth it");
}

static void print_reasons(const json_t *vms)
{
	const json_t *vm;
	size_t i;

	json_array_foreach(vms, i, vm)
	{
		const char *reason = json_string_value(json_object_get(vm, "reason"));
		const json_t *verdict = json_object_get(vm, "verdict");
		const char *word = json_string_value(json_object_get(verdict, "word"));

		if (reason) {
			print_name(vm);
			output_text(stdout, reason);
			putchar('\n');
		}
		if (is_news(word)) {
			print_name(vm);
			output_text(stdout, word);
			fputs(": ", stdout);
			output_text(stdout, json_string_value(json_object_get(verdict, "reason")));
			putchar('\n');
		}
	}
}

void vm_table_print(const json_t *vms)
{
	if (json_array_size(vms) == 0) {
		puts("No VM, and no process that a policy names.");
		return;
	}
	output_table(columns, ARRAY_SIZE(columns), vms);
	print_reasons(vms);
}
