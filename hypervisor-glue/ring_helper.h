/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs pagefold-attach once and takes over what it made. Safe from any thread; reaps its own child
 * and no other. */
#ifndef PAGEFOLD_GLUE_RING_HELPER_H
#define PAGEFOLD_GLUE_RING_HELPER_H

#include <stdint.h>

#include "hypervisor-glue/attach/attach_protocol.h"
#include "hypervisor-glue/merge_hook.h"

struct ring_grant {
	int fd; /* the ring, the caller's to close */
	struct io_uring_params params;
};

/*
 * 0, or -errno with the reason. *ret_cpu_ns is what the helper took, and is set on failure too.
 */
int ring_helper_run(const char *path, struct process_id id, struct ring_grant *ret,
	uint64_t *ret_cpu_ns, char reason[HOOK_REASON_BYTES]);

#endif
