/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An io_uring whose requests run in another process's address space, cut down to IORING_OP_MADVISE.
 *
 * The target may be hostile: it made the ring, so it may have mapped it too and write there. What
 * it can reach is its own memory and our idea of whether a request succeeded, never ours: all that
 * the kernel reported through the target's memory is checked before it is believed.
 */
#ifndef PAGEFOLD_GLUE_RING_QUEUE_H
#define PAGEFOLD_GLUE_RING_QUEUE_H

#include <liburing.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor-glue/merge_hook.h"
#include "hypervisor-glue/ring_helper.h"

struct ring_queue {
	struct io_uring ring;
	int pidfd;      /* a copy */
	pid_t poll_tid; /* the ring's polling thread, in the target */
};

/*
 * Takes grant->fd over, also on failure. Checks that the ring works inside process, restricts it
 * and enables it. -errno with the reason.
 */
int ring_queue_open(const struct host_root *root, const struct process *process,
	const struct ring_grant *grant, struct ring_queue *ret, char reason[HOOK_REASON_BYTES]);
void ring_queue_done(struct ring_queue *queue);

/* As merge_hook_ops.advise. */
int ring_queue_advise(struct ring_queue *queue, struct advice_request *requests, size_t count,
	uint64_t deadline_ns);

#endif
