/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Some of the targets, who are counted together, and what the twin index is told of them. */
#ifndef PAGEFOLD_DAEMON_ELECTORATE_H
#define PAGEFOLD_DAEMON_ELECTORATE_H

#include <stdbool.h>
#include <stddef.h>

#include "daemon/core.h"
#include "hashing/twin_index.h"

struct electorate {
	struct target **targets;   /* borrowed, in the registry's order */
	struct twin_owner *owners; /* one for each; their prints are the targets' */
	size_t count;
	struct extent_prints **prints;
};

/* Whether it is read, and of the group; folding_only: and may be given new folds. */
bool electorate_includes(const struct target *target, const char *group, bool folding_only);

/* All that are included. Valid until a target is read, mapped or ends. 0 or -ENOMEM. */
int electorate_init(struct electorate *electorate, const struct core *core, const char *group,
	bool folding_only);
void electorate_done(struct electorate *electorate);

#endif
