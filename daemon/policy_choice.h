/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose word counts for a VM or process: <nosharepages/> over libvirt metadata over policy files (the first
 * match) over default-mode.
 */
#ifndef PAGEFOLD_DAEMON_POLICY_CHOICE_H
#define PAGEFOLD_DAEMON_POLICY_CHOICE_H

#include "daemon/links.h"
#include "daemon/policy.h"
#include "daemon/target.h"
#include "hypervisor-glue/host_root.h"
#include "hypervisor-glue/process_table.h"

struct policy_sources {
	const struct policy_set *files;
	const struct links_tables *libvirt;
	enum policy_mode default_mode;
};

/* What a process may be matched by, besides a VM's name and uuid. */
struct policy_texts {
	const char *exe; /* borrowed; NULL: not to be had */
	char *cgroups;   /* NULL: the same, or no rule asks for them */
};
void policy_texts_read(const struct policy_sources *sources, const struct host_root *root,
	const struct process_entry *process, struct policy_texts *ret);
void policy_texts_done(struct policy_texts *texts);

/* The first rule of the policy files for a process that is not known to be a VM; NULL: none. */
const struct policy_rule *policy_choice_rule(
	const struct policy_sources *sources, pid_t pid, const struct policy_texts *texts);

/* Sets the target's policy, where it comes from, and what is wrong with it. True: somebody named it (a
 * rule, or libvirt); false: only default-mode does. */
bool policy_choose(const struct policy_sources *sources, const struct policy_texts *texts,
	struct target *target);

#endif
