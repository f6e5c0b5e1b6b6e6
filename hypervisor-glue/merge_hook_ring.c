// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Advice through an io_uring that lives in the target: a helper process makes it there, once, with
 * one injected system call; from then on the kernel carries our requests out in the target's
 * address space, and no thread of the target is ever stopped again.
 *
 * When the ring is let go (detached, or its owner dies), the kernel wakes the target's main thread once
 * to end it. A call that the kernel restarts (ppoll(), futex(), read(), as in QEMU's main loop) does not
 * show it; a bare wait like epoll_wait() may answer EINTR, as after SIGSTOP and SIGCONT. So a ring is
 * kept for as long as there may be something to advise.
 *
 * A process that calls execve() is gone in the sense of -ESRCH: its ring ends with its memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "hypervisor-glue/merge_hook.h"
#include "hypervisor-glue/ring_cpu.h"
#include "hypervisor-glue/ring_helper.h"
#include "hypervisor-glue/ring_queue.h"

struct ring_hook {
	struct merge_hook hook; /* first: the two are cast into each other */
	const struct host_root *root;
	struct ring_queue queue;
	struct ring_cpu cpu;
	uint64_t helper_cpu_ns;
};

static int ring_attach(const struct hook_context *context, const struct process *process,
	struct merge_hook **ret, char reason[HOOK_REASON_BYTES])
{
	_cleanup_free_ struct ring_hook *ring = calloc(1, sizeof(*ring));
	struct ring_grant grant;
	int error;

	if (!ring) {
		(void)snprintf(reason, HOOK_REASON_BYTES,
			"out of memory while attaching: give the daemon more");
		return -ENOMEM;
	}
	error = ring_helper_run(
		context->attach_helper, process->id, &grant, &ring->helper_cpu_ns, reason);
	if (!error)
		error = ring_queue_open(context->root, process, &grant, &ring->queue, reason);
	if (error && context->failed_cpu_ns)
		*context->failed_cpu_ns += ring->helper_cpu_ns;
	if (error)
		return error;
	ring->hook.ops = &merge_hook_ring;
	ring->root = context->root;
	ring_cpu_init(&ring->cpu, process->id.pid, ring->queue.poll_tid);
	*ret = &steal_pointer(&ring)->hook;
	return 0;
}

static int ring_advise(struct merge_hook *hook, struct advice_request *requests, size_t count,
	uint64_t deadline_ns)
{
	struct ring_hook *ring = (struct ring_hook *)hook;
	const int error = ring_queue_advise(&ring->queue, requests, count, deadline_ns);

	ring_cpu_sample(&ring->cpu, ring->root);
	return error;
}

static int ring_cpu_ns(struct merge_hook *hook, uint64_t *ret_ns)
{
	struct ring_hook *ring = (struct ring_hook *)hook;

	ring_cpu_sample(&ring->cpu, ring->root);
	*ret_ns = ring_cpu_total_ns(&ring->cpu);
	return 0;
}

static uint64_t ring_helper_cpu_ns(struct merge_hook *hook)
{
	return ((const struct ring_hook *)hook)->helper_cpu_ns;
}

static void ring_detach(struct merge_hook *hook)
{
	struct ring_hook *ring = (struct ring_hook *)hook;

	if (!ring)
		return;
	ring_queue_done(&ring->queue);
	free(ring);
}

const struct merge_hook_ops merge_hook_ring = {
	.name = "ring",
	.attach = ring_attach,
	.advise = ring_advise,
	.cpu_ns = ring_cpu_ns,
	.helper_cpu_ns = ring_helper_cpu_ns,
	.detach = ring_detach,
};
