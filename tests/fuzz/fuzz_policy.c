// SPDX-License-Identifier: GPL-2.0-or-later
/* Policy files, and what their patterns do with names that VMs choose: the text up to a line with
 * nothing but "=" is the file, what follows is the name, the executable and the cgroups of a VM. */
#include <stdio.h>

#include "daemon/policy.h"
#include "daemon/policy_file.h"
#include "tests/fuzz/fuzz.h"

static void check_rule(const struct policy_rule *rule)
{
	const char *group = rule->policy.group;

	fuzz_check(rule->section && *rule->section && rule->pattern && *rule->pattern);
	fuzz_check(rule->line > 0);
	fuzz_check(*group && strcmp(group, "auto") != 0);
	fuzz_check(memchr(group, '\0', sizeof(rule->policy.group)) != NULL);
	for (const char *c = rule->pattern; *c; c++)
		fuzz_check((unsigned char)*c >= ' ' || *c == '\t');
	if (rule->kind == MATCH_PID)
		fuzz_check(rule->pid > 0);
}

static void check_set(const struct policy_set *set, const char *foreign)
{
	const struct policy_subject subject = {
		.is_vm = true,
		.pid = 4711,
		.name = foreign,
		.uuid = "6f1c7f5e-0000-4000-8000-00000000000a",
		.exe = foreign,
		.cgroups = foreign,
	};
	const struct policy_rule *rule = policy_set_find(set, &subject);

	fuzz_check(!rule || (rule >= set->rules && rule < set->rules + set->count));
	for (size_t i = 0; i < set->count; i++)
		check_rule(&set->rules[i]);
	(void)policy_set_wants_processes(set);
}

/* A rule made from a foreign name must read back as that rule. */
static void check_target(const char *foreign)
{
	const struct policy_subject subject = { .is_vm = true, .pid = 7, .name = foreign };
	struct policy_target target;
	struct policy_set set;
	char text[512];
	char *error = NULL;

	policy_target_of(&subject, &target);
	(void)snprintf(
		text, sizeof(text), "[target %s]\nmatch = %s\n", target.section, target.match);
	fuzz_check(policy_set_parse(text, strlen(text), "f", &set, &error) == 0);
	fuzz_check(set.count == 1 && strcmp(set.rules[0].section, target.section) == 0);
	fuzz_check(policy_set_find(&set, &subject) == &set.rules[0]);
	policy_set_done(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *const text = fuzz_string(data, size);
	char *border = strstr(text, "\n=\n");
	const size_t length = border ? (size_t)(border - text) : size;
	struct policy_set set;
	char *error = NULL;

	if (policy_set_parse(text, length, "f.conf", &set, &error) == 0) {
		check_set(&set, border ? border + 3 : "web1");
		policy_set_done(&set);
	} else {
		fuzz_check(error && strncmp(error, "f.conf:", strlen("f.conf:")) == 0);
		free(error);
	}
	if (border)
		check_target(border + 3);
	free(text);
	return 0;
}
