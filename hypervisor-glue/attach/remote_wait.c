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

/* The kernel sends SIGCHLD for every stop of a tracee. */
static int wait_for_news(uint64_t deadline_ns)
{
	const uint64_t now = clock_monotonic_ns();
	const uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
	const struct timespec timeout = { .tv_sec = (time_t)(left / NS_PER_S),
		.tv_nsec = (long)(left % NS_PER_S) };
	sigset_t child;

	if (!left)
		return -ETIMEDOUT;
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	(void)sigtimedwait(&child, NULL, &timeout); /* whatever it says, the caller looks again */
	return 0;
}

int remote_wait(pid_t pid, uint64_t deadline_ns, struct remote_stop *ret)
{
	const int options = deadline_ns == REMOTE_FOREVER ? __WALL : __WALL | WNOHANG;

	for (;;) {
		int status;
		const pid_t got = waitpid(pid, &status, options);

		if (got < 0 && errno != EINTR)
			return -ESRCH;
		if (got > 0) {
			if (!WIFSTOPPED(status))
				return -ESRCH;
			*ret = stop_read(status);
			return 0;
		}
		if (got == 0) {
			const int error = wait_for_news(deadline_ns);

			if (error)
				return error;
		}
	}
}
