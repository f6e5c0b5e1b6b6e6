// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/seccomp_gate.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "hypervisor-glue/attach/proc_file.h"
#include "hypervisor-glue/attach/seccomp_filter.h"

/* <linux/ptrace.h> (6.4), which cannot be included beside <sys/ptrace.h>. */
#define GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
struct user_dispatch_config {
	uint64_t mode, selector, offset, length;
};

/* More than the kernel lets anybody stack (MAX_INSNS_PER_PATH is 32,768 steps in all). */
#define MAX_PROGRAMS 4096

/* The Seccomp: line of /proc/PID/status. */
static int mode_of(pid_t pid)
{
	char path[64], status[8192], mode[16];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (proc_file_read(path, status, sizeof(status)))
		return -ESRCH;
	if (proc_field(status, "Seccomp:", mode, sizeof(mode)))
		return SECCOMP_MODE_DISABLED; /* a kernel without seccomp */
	return mode[0] - '0';
}

/* Wine's syscall user dispatch answers a call from outside with SIGSYS, which we hold blocked: the
 * kernel would kill the target. */
static bool dispatch_is_on(pid_t pid)
{
	struct user_dispatch_config config = { 0 };

	return ptrace((enum __ptrace_request)GET_SYSCALL_USER_DISPATCH_CONFIG, pid,
		       (void *)sizeof(config), &config) >= 0 &&
	       config.mode;
}

/* -ENOENT: there are no more. */
static int program_read(pid_t pid, size_t index, struct seccomp_program *ret)
{
	const long length = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, (void *)index, NULL);
	struct sock_filter *steps;

	if (length < 0)
		return -errno;
	steps = calloc((size_t)length + 1, sizeof(*steps));
	if (!steps)
		return -ENOMEM;
	if (ptrace(PTRACE_SECCOMP_GET_FILTER, pid, (void *)index, steps) != length) {
		const int error = errno;

		free(steps);
		return error ? -error : -EINVAL;
	}
	*ret = (struct seccomp_program){ steps, (size_t)length };
	return 0;
}

static int programs_read(pid_t pid, struct seccomp_gate *gate)
{
	gate->programs = calloc(MAX_PROGRAMS, sizeof(*gate->programs));
	if (!gate->programs)
		return -ENOMEM;
	while (gate->count < MAX_PROGRAMS) {
		const int error = program_read(pid, gate->count, &gate->programs[gate->count]);

		if (error)
			/* A filtered thread has at least one filter. */
			return error == -ENOENT && gate->count ? 0 : error;
		gate->count++;
	}
	return -E2BIG;
}

static int explain_unreadable(pid_t pid, int error, struct refusal *why)
{
	if (mode_of(getpid()) > 0)
		return refuse(why, error,
			"pagefold-attach runs under a seccomp filter and so may not read that of "
			"process "
			"%d: start it without one (no SystemCallFilter= in its unit)",
			pid);
	return refuse(why, error,
		"the seccomp filter of process %d cannot be read (%s): it takes CAP_SYS_ADMIN and "
		"a "
		"kernel with CONFIG_CHECKPOINT_RESTORE",
		pid, strerror(-error));
}

int seccomp_gate_read(pid_t pid, struct seccomp_gate *ret, struct refusal *why)
{
	struct seccomp_gate gate = { .mode = mode_of(pid) };
	int error;

	if (gate.mode < 0)
		return refuse(
			why, gate.mode, "process %d has ended: there is nothing to attach to", pid);
	if (dispatch_is_on(pid))
		return refuse(why, -EPERM,
			"process %d dispatches its own system calls "
			"(PR_SET_SYSCALL_USER_DISPATCH), a "
			"foreign one would kill it: choose another hook",
			pid);
	if (gate.mode == SECCOMP_MODE_FILTER) {
		error = programs_read(pid, &gate);
		if (error) {
			seccomp_gate_done(&gate);
			return explain_unreadable(pid, error, why);
		}
	}
	*ret = gate;
	return 0;
}

void seccomp_gate_done(struct seccomp_gate *gate)
{
	for (size_t i = 0; i < gate->count; i++)
		free(gate->programs[i].steps);
	free(gate->programs);
	*gate = (struct seccomp_gate){ 0 };
}

static bool program_allows(const struct seccomp_program *program, const struct seccomp_data *call)
{
	uint32_t verdict;

	/* LOG allows too, but leaves a line that nobody here asked for. */
	return !seccomp_filter_run(program->steps, program->length, call, &verdict) &&
	       (verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ALLOW;
}

int seccomp_gate_check(const struct seccomp_gate *gate, const struct seccomp_data *call,
	const char *name, struct refusal *why)
{
	bool allowed = gate->mode != SECCOMP_MODE_STRICT;

	for (size_t i = 0; allowed && i < gate->count; i++)
		allowed = program_allows(&gate->programs[i], call);
	if (allowed)
		return 0;
	return refuse(why, -EPERM,
		"the target's seccomp filter does not allow %s, making it could kill the target: "
		"let "
		"the filter allow io_uring_setup and close, or choose another hook",
		name);
}
