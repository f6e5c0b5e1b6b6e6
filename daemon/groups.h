/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trust groups. KSM has one merge domain per host, so only one group has mergeable memory at any time: the
 * active one. Another takes its place only once it is shown that everything the old one has folded fits in
 * free memory.
 */
#ifndef PAGEFOLD_DAEMON_GROUPS_H
#define PAGEFOLD_DAEMON_GROUPS_H

#include <stdbool.h>

#include "daemon/core.h"

bool group_has_marks(const struct core *core, const char *group);
/* Some VM of it may be given new folds. */
bool group_wants_folds(const struct core *core, const char *group);
/* The same, also where the address space of its VMs cannot be read for the moment. */
bool group_is_asked_for(const struct core *core, const char *group);
/* The first target of each group stands for it. */
bool is_group_leader(const struct core *core, size_t index);

/*
 * Makes the group the active one; what the old one has folded is released by the apply stage. Where that does
 * not fit in memory nothing changes, and a warning gives the numbers.
 */
void group_switch(struct core *core, const char *group);

/* active-group = NAME is not the active one yet. */
bool groups_switch_awaits(const struct core *core);
/* active-group = NAME: follows it, or says why not. Every pass. */
void groups_follow_config(struct core *core);

#endif
