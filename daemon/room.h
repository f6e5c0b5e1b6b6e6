/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process has room for of what folding makes the kernel keep on its behalf: VMAs, and the ring. It is
 * charged to the process's memory cgroup, and where that is full the kernel ends the process rather than refuse:
 * so it is looked at before.
 */
#ifndef PAGEFOLD_DAEMON_ROOM_H
#define PAGEFOLD_DAEMON_ROOM_H

#include "daemon/core.h"

/* Sets target->vma_room and target->cgroup_room_bytes; its address space was mapped before. max_map_count: the
 * host's. A cgroup that cannot be read (another cgroup namespace) limits nothing. */
void room_look(const struct core *core, struct target *target, uint64_t max_map_count);

/* It is the cgroup, and not vm.max_map_count, that leaves so little. */
bool room_is_cgroups(const struct target *target);

/* Whether a ring may be made in the process; otherwise -ENOSPC and why. */
int room_for_ring(const struct core *core, const struct target *target, char reason[HOOK_REASON_BYTES]);

#endif
