/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which extents are worth folding. Pure: counts, policies and limits in, a printable list out; no
 * system call, no clock. The same plan is what `pagefold plan` shows and what a pass carries out.
 */
#ifndef PAGEFOLD_DAEMON_PLAN_H
#define PAGEFOLD_DAEMON_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/policy.h"
#include "hashing/twin_index.h"

enum plan_action {
	PLAN_FOLD,
	PLAN_REVISIT, /* promising, but read only once: read again before it is marked */
	PLAN_RELEASE,
};

const char *plan_action_name(enum plan_action action);

struct plan_entry {
	enum plan_action action;
	size_t vm, extent; /* indices into what plan_make() was given */
	char *vm_name;
	pid_t pid;
	uint64_t start, length;
	uint16_t twins, zeros; /* predicted pages */
	bool huge;             /* a huge page is lost by it */
	const char *reason;    /* static */
};

struct plan {
	struct plan_entry *entries;
	size_t count;
	uint64_t fold_bytes; /* extents to be folded */
};

void plan_done(struct plan *plan);

#endif
