/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ksmd folds whatever is mergeable on the host, whoever marked it, and QEMU marks its RAM by default. So
 * before and during a burst we look who else would be folded.
 */
#ifndef PAGEFOLD_DAEMON_FOREIGN_H
#define PAGEFOLD_DAEMON_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/core.h"

struct stranger {
	pid_t pid;
	char name[VMM_NAME_BYTES]; /* a VM's, else the program's */
	bool merge_any; /* by prctl(PR_SET_MEMORY_MERGE): cannot be un-marked from outside */
	bool asked_for; /* of the active set, but marked beyond what we marked */
	bool is_qemu;
};

enum survey_depth {
	SURVEY_QUICK,   /* takes the active set on trust: what a burst polls */
	SURVEY_THOROUGH,
};

/*
 * The processes with mergeable memory that we did not mark, in the active set or out of it. In memory the
 * caller frees. 0 or -errno.
 */
int foreign_survey(const struct core *core, enum survey_depth depth, struct stranger **ret_strangers,
	size_t *ret_count);

/* Every mergeable VMA of the target lies in extents that we marked. */
bool foreign_is_all_ours(const struct core *core, const struct target *target);
/* The same as of the last look at its address space, which costs nothing. What was un-marked since then
 * counts as somebody else's. */
bool foreign_was_all_ours(const struct core *core, const struct target *target);

#endif
