/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a stopped thread may make a system call: a call that its seccomp filters do not allow
 * would kill it, or be answered by somebody else.
 */
#ifndef PAGEFOLD_ATTACH_SECCOMP_GATE_H
#define PAGEFOLD_ATTACH_SECCOMP_GATE_H

#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/types.h>

#include "hypervisor-glue/attach/refusal.h"

struct seccomp_gate {
	int mode; /* SECCOMP_MODE_DISABLED, _STRICT or _FILTER */
	struct seccomp_program {
		struct sock_filter *steps;
		size_t length;
	} * programs;
	size_t count;
};

/* Reads every filter of the thread, which must be ptrace-stopped. 0, or -errno with the reason. */
int seccomp_gate_read(pid_t pid, struct seccomp_gate *ret, struct refusal *why);
void seccomp_gate_done(struct seccomp_gate *gate);

/* 0: every filter says ALLOW. -EPERM, with the reason, for anything else. */
int seccomp_gate_check(const struct seccomp_gate *gate, const struct seccomp_data *call,
	const char *name, struct refusal *why);

#endif
