/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way back: a VM's folded pages become its own again, extent by extent, and only where the memory
 * for it is there. A refused release is a sentence for the operator, never an OOM kill.
 */
#ifndef PAGEFOLD_DAEMON_RELEASE_H
#define PAGEFOLD_DAEMON_RELEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core.h"

/*
 * Whether the host and the cgroup of the process can give need_bytes and keep a reserve. 0, or -ENOSPC
 * and the numbers in *ret_reason (the caller frees it; NULL on success).
 */
int release_headroom(
	const struct core *core, pid_t pid, uint64_t need_bytes, char **ret_reason);

/* What giving back all that we folded in the target takes. */
uint64_t release_need_bytes(const struct core *core, struct target *target);

enum release_choice {
	RELEASE_ALL,
	RELEASE_ALL_BY_FORCE, /* without the headroom check */
	RELEASE_EXPOSED,      /* only the extents that share a frame with a stranger */
	RELEASE_DISMISSED,    /* only those that stopped paying; where memory comes first, huge pages stay as they are */
};

/*
 * Un-marks what we marked in the target and puts its huge-page advice back; huge pages that folding
 * broke are rebuilt where the kernel can. 0, or -errno and one sentence in *ret_reason; on success one may
 * be there, too: what it cost.
 */
int release_target(
	struct core *core, struct target *target, enum release_choice choice, char **ret_reason);

#endif
