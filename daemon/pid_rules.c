// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/pid_rules.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor-glue/host_memory.h"
#include "hypervisor-glue/process.h"

/* Between the two lie the steps of both clocks: a tick of 10 ms, and a file system's of up to two seconds. */
#define SLACK_S 2

/* When a process started, by the clock that files are dated with. */
static int64_t started_at_s(const struct process_stat *stat)
{
	struct timespec now, since_boot;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)clock_gettime(CLOCK_BOOTTIME, &since_boot);
	return now.tv_sec - since_boot.tv_sec +
		(int64_t)(stat->start_ticks / (uint64_t)sysconf(_SC_CLK_TCK));
}

/* By its start, where the rule has it; else by its age. */
static bool is_another(const struct policy_rule *rule, const struct host_root *root,
	const struct process_stat *stat)
{
	char boot_id[BOOT_ID_BYTES];

	if (!*rule->boot_id)
		return rule->written_s && started_at_s(stat) > rule->written_s + SLACK_S;
	return stat->start_ticks != rule->started_ticks || boot_id_read(root, boot_id) < 0 ||
		strcmp(boot_id, rule->boot_id) != 0;
}

static void rule_check(
	struct policy_rule *rule, const struct host_root *root, struct sentences *warnings)
{
	struct process_stat stat;

	if (process_stat_read(root, rule->pid, &stat) < 0 || stat.state == 'Z') {
		rule->expired = true;
		sentences_add(warnings,
			"%s:%u: process %d has ended, so this rule applies to nothing any more; remove it",
			rule->file, rule->line, (int)rule->pid);
		return;
	}
	rule->expired = rule->expired || is_another(rule, root, &stat);
	if (rule->expired)
		sentences_add(warnings,
			"%s:%u: process %d is another one by now, which is not the one that this rule was "
			"written for, and is left alone; remove the rule, or write it anew",
			rule->file, rule->line, (int)rule->pid);
}

void pid_rules_check(
	struct policy_set *policies, const struct host_root *root, struct sentences *warnings)
{
	for (size_t i = 0; i < policies->count; i++)
		if (policies->rules[i].kind == MATCH_PID)
			rule_check(&policies->rules[i], root, warnings);
}
