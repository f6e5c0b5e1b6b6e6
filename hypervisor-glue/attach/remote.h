/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * System calls made by the main thread of another process, on a ladder that goes up and down the
 * same rungs:
 *
 *     remote_stop        PTRACE_SEIZE and PTRACE_INTERRUPT; nothing is changed yet
 *       remote_prepare   what will be changed is saved; from here on our own signals are blocked
 *         remote_call    any number of times
 *       remote_cure      everything is put back
 *     remote_resume      detached
 *
 * If the tracer died between prepare and cure, the target would run on with foreign registers. That
 * window is why this is a process of its own: it lasts microseconds and nothing else happens in it.
 */
#ifndef PAGEFOLD_ATTACH_REMOTE_H
#define PAGEFOLD_ATTACH_REMOTE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hypervisor-glue/attach/arch.h"
#include "hypervisor-glue/attach/layout.h"

#define REMOTE_SCRATCH_BYTES 128

struct remote {
	pid_t pid;
	uint64_t instruction, scratch; /* addresses in the target */
	uint64_t stopped_at_ns;

	struct arch_registers registers;
	uint64_t signal_mask;
	uint64_t rseq_cs_address, rseq_cs;
	uint8_t borrowed[REMOTE_SCRATCH_BYTES];

	sigset_t own_mask;
	bool in_call;       /* at the entry or exit of a call of ours */
	int pending_signal; /* one that the thread was about to take; handed over at the end */
};

/*
 * -ESRCH: it died. -ETIMEDOUT: it did not stop within 500 ms (uninterruptible sleep). -EAGAIN: it
 * was stopped by somebody else. Otherwise the errno of PTRACE_SEIZE. After a failure it is not
 * traced.
 */
int remote_stop(pid_t pid, struct remote *ret);

/* -ENOEXEC: 32-bit code; -EFAULT: no room on its stack; -ESRCH. After a failure nothing is changed.
 */
int remote_prepare(struct remote *remote, const struct layout *layout);

/* Memory of the target that is put back by remote_cure(), at most REMOTE_SCRATCH_BYTES of it, in whole
 * words. */
int remote_scratch_write(struct remote *remote, const void *bytes, size_t length);
int remote_scratch_read(struct remote *remote, void *ret_bytes, size_t length);

/*
 * Makes the call and reads its result (-errno of the call included). -EAGAIN: the target was
 * stopped or frozen in between, the call has *not* been made. -ESRCH: it died.
 */
int remote_call(struct remote *remote, long number, uint64_t argument0, uint64_t argument1,
	int64_t *ret_result);

/* The call as a seccomp filter would see it. */
struct seccomp_data;
void remote_describe_call(const struct remote *remote, long number, uint64_t argument0,
	uint64_t argument1, struct seccomp_data *ret);

int remote_cure(struct remote *remote);
/* Returns how long the target was held, in nanoseconds. */
uint64_t remote_resume(struct remote *remote);

#endif
