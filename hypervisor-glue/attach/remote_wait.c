// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/remote_wait.h"

#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "common/clock.h"

/* With PTRACE_O_TRACESYSGOOD. */
#define CALL_STOP_SIGNAL (SIGTRAP | 0x80)

static struct remote_stop stop_read(int status)
{
	const int event = status >> 16, signal = WSTOPSIG(status);

	if (event == PTRACE_EVENT_STOP)
		return (struct remote_stop){
			signal == SIGTRAP ? REMOTE_STOP_TRAP : REMOTE_STOP_GROUP, 0
		};
	if (event)
		return (struct remote_stop){ REMOTE_STOP_OTHER, 0 };
	if (signal == CALL_STOP_SIGNAL)
		return (struct remote_stop){ REMOTE_STOP_CALL, 0 };
	return (struct remote_stop){ REMOTE_STOP_SIGNAL, signal };
}

/*
 * The kernel sends SIGCHLD for every stop of a tracee, with one exception: when another thread of
 * the target calls execve(), that thread takes over the pid, our tracee vanishes, and not even a
 * waitpid() that sleeps is told. So it is looked at again now and then.
 */
#define LOOK_AGAIN_NS (50 * NS_PER_MS)

static int wait_for_news(uint64_t deadline_ns)
{
	const uint64_t now = clock_monotonic_ns();
	const uint64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;
	const struct timespec timeout = {
		.tv_nsec = (long)(left_ns < LOOK_AGAIN_NS ? left_ns : LOOK_AGAIN_NS)
	};
	sigset_t child;

	if (!left_ns)
		return -ETIMEDOUT;
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	(void)sigtimedwait(&child, NULL, &timeout); /* whatever it says, the caller looks again */
	return 0;
}

int remote_wait(pid_t pid, uint64_t deadline_ns, struct remote_stop *ret)
{
	for (;;) {
		int status, error;
		const pid_t got = waitpid(pid, &status, __WALL | WNOHANG);

		if (got < 0)
			return -ESRCH;
		if (got > 0) {
			if (!WIFSTOPPED(status))
				return -ESRCH;
			*ret = stop_read(status);
			return 0;
		}
		error = wait_for_news(deadline_ns);
		if (error)
			return error;
	}
}
