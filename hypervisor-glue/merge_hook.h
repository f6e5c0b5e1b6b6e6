/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How advice about memory gets into another process. A hook is mechanism only: it knows no threshold
 * and no policy, and it can express six pieces of advice and nothing else.
 *
 * One hook serves one process and is used from one thread.
 */
#ifndef PAGEFOLD_GLUE_MERGE_HOOK_H
#define PAGEFOLD_GLUE_MERGE_HOOK_H

#include <stdbool.h>
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
	ADVICE_COLD, /* of a part of a huge page: splits it */
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
	/*
	 * One command of QMP to the process's monitor, whichever there is; the reply is the caller's to free
	 * (qmp.h). 0, -ETIMEDOUT by the deadline, -ENOENT: it has none, -errno, with a sentence in reason.
	 * NULL: nobody may be asked.
	 */
	int (*monitor)(void *data, const struct process *process, const char *command,
		uint64_t deadline_ns, char **ret_reply, char reason[HOOK_REASON_BYTES]);
	void *monitor_data; /* outlives the hook, as root does */
	uint64_t *failed_cpu_ns; /* what an attempt that failed took is added there; NULL: nobody asks */
};

struct merge_hook {
	const struct merge_hook_ops *ops;
	/* Why the last advise() refused something; "": the results say it all. */
	char trouble[HOOK_REASON_BYTES];
};

struct merge_hook_ops {
	const char *name;
	/*
	 * It can only advise all of the memory that it reaches at once: requests that cover less are answered
	 * with -EXDEV, memory out of its reach and other advice than (UN)MERGEABLE with -EOPNOTSUPP. It keeps
	 * the thread that asks waiting, and QEMU's main loop while folded memory is copied back.
	 */
	bool whole;
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
extern const struct merge_hook_ops merge_hook_qmp; /* QEMU's own doing, whole backends; no huge-page advice */
extern const struct merge_hook_ops merge_hook_none; /* attaches to anything, advises nothing: -ENOTSUP */

#endif
