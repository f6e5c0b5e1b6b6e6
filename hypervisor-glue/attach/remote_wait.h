/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Waiting for a tracee to stop, and telling its stops apart. */
#ifndef PAGEFOLD_ATTACH_REMOTE_WAIT_H
#define PAGEFOLD_ATTACH_REMOTE_WAIT_H

#include <stdint.h>
#include <sys/types.h>

#define REMOTE_FOREVER UINT64_MAX

enum remote_stop_kind {
	REMOTE_STOP_TRAP,   /* what PTRACE_INTERRUPT asked for */
	REMOTE_STOP_GROUP,  /* stopped by SIGSTOP or job control */
	REMOTE_STOP_CALL,   /* entry or exit of a system call */
	REMOTE_STOP_SIGNAL, /* about to take a signal */
	REMOTE_STOP_OTHER,
};

struct remote_stop {
	enum remote_stop_kind kind;
	int signal; /* of REMOTE_STOP_SIGNAL */
};

/*
 * SIGCHLD must be blocked. deadline_ns is CLOCK_MONOTONIC. -ETIMEDOUT;
 * -ESRCH when it died or is not ours any more.
 */
int remote_wait(pid_t pid, uint64_t deadline_ns, struct remote_stop *ret);

#endif
