/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process that is to get a ring, and everything that speaks against it and can be seen without
 * stopping it.
 */
#ifndef PAGEFOLD_ATTACH_TARGET_H
#define PAGEFOLD_ATTACH_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hypervisor-glue/attach/refusal.h"

struct target {
	pid_t pid;
	int pidfd;
};

/* -ESRCH: it is gone, or the pid belongs to another process by now. */
int target_open(pid_t pid, uint64_t start_ticks, struct target *ret, struct refusal *why);
void target_done(struct target *target);

bool target_alive(const struct target *target);

/* Refuses what is stopped, traced, frozen, dead, or shut out of io_uring by the host. */
int target_check(const struct target *target, struct refusal *why);

/* Why layout_read() failed with error. Returns the error. */
int target_explain_layout(const struct target *target, int error, struct refusal *why);
/* Why PTRACE_SEIZE failed with error. Returns the error. */
int target_explain_seize(const struct target *target, int error, struct refusal *why);
/* Why io_uring_setup() failed with error, made by the target. Returns the error. */
int target_explain_setup(const struct target *target, int error, struct refusal *why);

#endif
