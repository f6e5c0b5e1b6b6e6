/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules that name a process by its pid. A pid is somebody else's some day, and rules outlive processes: a rule
 * is for the process whose start it names (`pagefold set` writes it), else for the one that had the pid when the
 * file was written, and for no other.
 */
#ifndef PAGEFOLD_DAEMON_PID_RULES_H
#define PAGEFOLD_DAEMON_PID_RULES_H

#include "daemon/core.h"
#include "daemon/policy.h"

/* Before each look at the host: rules whose process has ended apply no more, and a sentence says so. */
void pid_rules_check(
	struct policy_set *policies, const struct host_root *root, struct sentences *warnings);

#endif
