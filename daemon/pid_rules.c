// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/pid_rules.h"

#include <time.h>
#include <unistd.h>

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
	if (rule->written_s && started_at_s(&stat) > rule->written_s + SLACK_S)
		rule->expired = true;
	if (rule->expired)
		sentences_add(warnings,
			"%s:%u: process %d is another one by now, which started after this rule was "
			"written, and is left alone; remove the rule, or write it anew",
			rule->file, rule->line, (int)rule->pid);
}

void pid_rules_check(
	struct policy_set *policies, const struct host_root *root, struct sentences *warnings)
{
	for (size_t i = 0; i < policies->count; i++)
		if (policies->rules[i].kind == MATCH_PID)
			rule_check(&policies->rules[i], root, warnings);
}
