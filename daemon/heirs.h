/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a folded process forks inherits its marks, though nobody named it. Such an heir goes on the
 * record with them, so that they are undone when its parent's are, and stand in nobody's way until
 * then.
 *
 * A mark of its own is never taken for one of ours: an heir has the parent's program, was started
 * after we first marked the parent, and has no mergeable memory but where the parent's is marked by
 * us.
 */
#ifndef PAGEFOLD_DAEMON_HEIRS_H
#define PAGEFOLD_DAEMON_HEIRS_H

#include "daemon/core.h"

/* Whose marks all the mergeable memory of the process is inherited from; NULL: nobody's. */
const struct target *heirs_find_parent(const struct core *core, pid_t pid);

/* What is done with an heir: its folds stay as long as the parent's do, and nothing new is folded.
 * One whose parent is gone, switched off or released is switched off. */
void heirs_set_policy(
	const struct host_root *root, const struct registry *registry, struct target *heir);

/* Of a process that has come to be a target by itself, and whose marks are new to us: notes which of its folds it has
 * from a target that it was forked from. They are nobody's saving as long as they are marked. */
void heirs_note_folds(const struct core *core, struct target *target);

/* Takes the heirs that have come among the targets, and records them. After the map. 0 or -errno.
 */
int heirs_adopt(struct core *core);

#endif
