/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How advice about memory gets into another process. A hook is mechanism only: it knows no threshold
 * and no policy, and it can express five pieces of advice and nothing else.
 *
 * One hook serves one process and is used from one thread.
 */
#ifndef PAGEFOLD_GLUE_MERGE_HOOK_H
#define PAGEFOLD_GLUE_MERGE_HOOK_H

#include <stddef.h>
#include <stdint.h>

#include "hypervisor-glue/host_root.h"
#include "hypervisor-glue/process.h"

enum advice {
	ADVICE_MERGEABLE,
	ADVICE_UNMERGEABLE, /* copies every shared page of the range back: needs the memory */
	ADVICE_HUGEPAGE,
	ADVICE_NOHUGEPAGE,
	ADVICE_COLLAPSE,
};

struct advice_request {
	uint64_t start, length; /* page-aligned, host-virtual */
	enum advice advice;
	int ret_result; /* 0 or -errno of this piece; -EINPROGRESS: no answer before the deadline */
};

#define HOOK_REASON_BYTES 256

struct hook_context {
	const struct host_root *root;
	const char *attach_helper; /* path of the pagefold-attach executable */
};

struct merge_hook {
	const struct merge_hook_ops *ops;
};

struct merge_hook_ops {
	const char *name;
	/*
	 * Gets hold of the process. On failure -errno and, in reason, one sentence that says what stands
	 * in the way and what would cure it.
	 */
	int (*attach)(const struct hook_context *context, const struct process *process,
		struct merge_hook **ret, char reason[HOOK_REASON_BYTES]);
	/*
	 * Carries the requests out in order and fills each ret_result. Returns 0 when all were answered
	 * (some perhaps with an error), -ETIMEDOUT when the deadline (CLOCK_MONOTONIC) passed first,
	 * -ESRCH when the process ended. After -ETIMEDOUT the hook is unusable: what is in flight may
	 * still happen, so detach, and believe only smaps.
	 */
	int (*advise)(struct merge_hook *hook, struct advice_request *requests, size_t count,
		uint64_t deadline_ns);
	/* CPU time the hook's kernel threads have taken inside the process so far. */
	int (*cpu_ns)(struct merge_hook *hook, uint64_t *ret_ns);
	/* CPU time of the helper that attached, waited for. */
	uint64_t (*helper_cpu_ns)(struct merge_hook *hook);
	void (*detach)(struct merge_hook *hook); /* frees it; NULL is fine */
};

extern const struct merge_hook_ops merge_hook_ring;
extern const struct merge_hook_ops merge_hook_none; /* attaches to anything, advises nothing: -ENOTSUP */

#endif
