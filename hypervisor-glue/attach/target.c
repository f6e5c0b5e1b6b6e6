// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/target.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/number.h"
#include "hypervisor-glue/attach/arch.h"
#include "hypervisor-glue/attach/freezer.h"
#include "hypervisor-glue/attach/proc_file.h"

#define STATUS_BYTES 8192

static uint64_t number_file(const char *path)
{
	char text[32];
	uint64_t number = 0;

	if (!proc_file_read(path, text, sizeof(text))) {
		text[strcspn(text, "\n")] = '\0';
		(void)number_parse_u64(text, 10, &number); /* stays 0: nothing is forbidden */
	}
	return number;
}

static int target_gone(pid_t pid, struct refusal *why)
{
	return refuse(why, -ESRCH, "process %d has ended: there is nothing to attach to", pid);
}

int target_open(pid_t pid, uint64_t start_ticks, struct target *ret, struct refusal *why)
{
	/* The pidfd comes first: if the start time read after it is right, both mean one process.
	 */
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	unsigned long long ticks;
	char path[64], text[1024];

	if (pidfd < 0)
		return errno == ESRCH ? target_gone(pid, why)
				      : refuse(why, -errno, "no pidfd for process %d: %s", pid,
						strerror(errno));
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (proc_file_read(path, text, sizeof(text)) || proc_stat_start_ticks(text, &ticks))
		return target_gone(pid, why);
	if (ticks != start_ticks)
		return refuse(why, -ESRCH,
			"pid %d is another process by now (started at tick %llu, not %llu): look "
			"it up "
			"again",
			pid, ticks, (unsigned long long)start_ticks);
	*ret = (struct target){ .pid = pid, .pidfd = steal_fd(&pidfd) };
	return 0;
}

void target_done(struct target *target)
{
	close_fd(target->pidfd);
	target->pidfd = -1;
}

bool target_alive(const struct target *target)
{
	struct pollfd death = { .fd = target->pidfd, .events = POLLIN };

	return poll(&death, 1, 0) == 0;
}

static int status_read(const struct target *target, char text[STATUS_BYTES])
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", target->pid);
	return proc_file_read(path, text, STATUS_BYTES);
}

/* The pid of its tracer, 0: none. */
static int status_tracer(const char *status)
{
	char text[16];
	uint64_t tracer = 0;

	if (!proc_field(status, "TracerPid:", text, sizeof(text)))
		(void)number_parse_u64(text, 10, &tracer);
	return (int)tracer;
}

static int check_state(const struct target *target, struct refusal *why)
{
	char status[STATUS_BYTES], state[32];
	const pid_t pid = target->pid;

	if (status_read(target, status) || proc_field(status, "State:", state, sizeof(state)))
		return target_gone(pid, why);
	if (status_tracer(status))
		return refuse(why, -EBUSY,
			"process %d is traced by process %d: detach that debugger or tracer first",
			pid, status_tracer(status));
	switch (state[0]) {
	case 'T':
	case 't':
		return refuse(why, -EAGAIN, "process %d is stopped: continue it (kill -CONT %d)",
			pid, pid);
	case 'Z':
	case 'X':
		return target_alive(target) ? refuse(why, -ESRCH,
						      "the main thread of process %d has ended "
						      "while others run on: its "
						      "memory can no longer be reached, restart it",
						      pid)
					    : target_gone(pid, why);
	default:
		return 0;
	}
}

int target_check(const struct target *target, struct refusal *why)
{
	char where[PATH_MAX];
	int error;

	if (!arch_audit)
		return refuse(why, -ENOTSUP,
			"the ring knows x86-64 only: choose another hook for this host");
	if (number_file("/proc/sys/kernel/io_uring_disabled") >= 2)
		return refuse(why, -EPERM,
			"io_uring is disabled on this host: set sysctl kernel.io_uring_disabled to "
			"0, "
			"or choose another hook");
	error = check_state(target, why);
	if (error)
		return error;
	if (freezer_holds(target->pid, where, sizeof(where)))
		return refuse(why, -EAGAIN, "the cgroup of process %d is frozen (%.100s): thaw it",
			target->pid, where);
	return 0;
}

/* A process that is ending loses its memory first, and its pidfd says so later. */
static bool target_ending(const struct target *target)
{
	char status[STATUS_BYTES], size[32];

	return !target_alive(target) || status_read(target, status) ||
	       proc_field(status, "VmSize:", size, sizeof(size));
}

int target_explain_layout(const struct target *target, int error, struct refusal *why)
{
	if (error != -ENOENT)
		return target_explain_seize(target, error, why);
	if (target_ending(target))
		return target_gone(target->pid, why);
	return refuse(why, error,
		"process %d has no 64-bit code or no stack made by the kernel: only ordinary "
		"64-bit "
		"programs can be folded through the ring",
		target->pid);
}

int target_explain_seize(const struct target *target, int error, struct refusal *why)
{
	char status[STATUS_BYTES];
	const pid_t pid = target->pid;

	if (error == -ESRCH || target_ending(target) || status_read(target, status))
		return target_gone(pid, why);
	if (status_tracer(status))
		return refuse(why, -EBUSY,
			"process %d is traced by process %d: detach that debugger or tracer first",
			pid, status_tracer(status));
	if (number_file("/proc/sys/kernel/yama/ptrace_scope") >= 3)
		return refuse(why, error,
			"Yama forbids all tracing (kernel.yama.ptrace_scope is 3, until the next "
			"boot): "
			"boot with a lower one, or choose another hook");
	return refuse(why, -EPERM,
		"not allowed to trace process %d (%s): run as root with CAP_SYS_PTRACE, and look "
		"for a "
		"security module that forbids it",
		pid, strerror(-error));
}

int target_explain_setup(const struct target *target, int error, struct refusal *why)
{
	struct rlimit limit = { 0 };
	const pid_t pid = target->pid;

	switch (error) {
	case -ENOMEM:
		(void)prlimit(pid, RLIMIT_MEMLOCK, NULL, &limit);
		return refuse(why, error,
			"the user of process %d may not lock the two pages of a ring (limit %llu "
			"KiB for "
			"all its processes): raise its memlock limit",
			pid, (unsigned long long)limit.rlim_cur / 1024);
	case -EPERM:
	case -EACCES:
		return refuse(why, error,
			"process %d may not use io_uring (kernel.io_uring_disabled is %llu): set "
			"it to 0, "
			"or put the process's group into kernel.io_uring_group, or ask its "
			"security "
			"module",
			pid, (unsigned long long)number_file("/proc/sys/kernel/io_uring_disabled"));
	case -ENOSYS:
		return refuse(why, error,
			"this kernel has no io_uring: boot one that has it, or choose another "
			"hook");
	case -EMFILE:
	case -ENFILE:
		return refuse(why, error,
			"process %d has no descriptor left: raise its nofile limit", pid);
	default:
		return refuse(why, error, "io_uring_setup in process %d failed: %s", pid,
			strerror(-error));
	}
}
