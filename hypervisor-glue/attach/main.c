// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pagefold-attach PID START_TICKS
 *
 * Makes one io_uring in the address space of a running process and answers on descriptor 3 (see
 * attach_protocol.h). One injected io_uring_setup, one injected close, nothing else; run once per
 * process. Exit: 0 attached, 1 refused (the answer says why), 2 usage.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "common/cleanup.h"
#include "common/number.h"
#include "hypervisor-glue/attach/layout.h"
#include "hypervisor-glue/attach/reply.h"
#include "hypervisor-glue/attach/ring_call.h"
#include "hypervisor-glue/attach/target.h"

static int usage(void)
{
	(void)fprintf(stderr,
		"usage: pagefold-attach PID START_TICKS, with a SOCK_SEQPACKET socket as "
		"descriptor %d "
		"for the answer; pagefoldd runs it, there is no need to run it by hand\n",
		ATTACH_SOCKET_FD);
	return 2;
}

static bool answer_socket_there(void)
{
	int type;
	socklen_t length = sizeof(type);

	return !getsockopt(ATTACH_SOCKET_FD, SOL_SOCKET, SO_TYPE, &type, &length) &&
	       type == SOCK_SEQPACKET && !fcntl(ATTACH_SOCKET_FD, F_SETFD, FD_CLOEXEC);
}

/*
 * The target is held while we wait for a CPU, and killed in the window we would take it with us: be
 * quick, and let the OOM killer look elsewhere. Where the privileges are missing, it is as it was.
 */
static void take_care(void)
{
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	(void)setpriority(PRIO_PROCESS, 0, -20);
	if (fd >= 0 && write(fd, "-1000", 5) < 0)
		return;
}

static int explain_stop(const struct target *target, int error, struct refusal *why)
{
	switch (error) {
	case -EAGAIN:
		return refuse(why, error, "process %d is stopped: continue it (kill -CONT %d)",
			target->pid, target->pid);
	case -ETIMEDOUT:
		return refuse(why, error,
			"process %d did not come out of uninterruptible sleep within 500 ms: look "
			"at its "
			"storage; the next attempt may succeed",
			target->pid);
	default:
		return target_explain_seize(target, error, why);
	}
}

static int attach(pid_t pid, uint64_t start_ticks, struct attach_reply *ret, struct refusal *why)
{
	_cleanup_(target_done) struct target target = { .pidfd = -1 };
	struct layout layout;
	struct remote remote;
	int error = target_open(pid, start_ticks, &target, why);

	if (!error)
		error = target_check(&target, why);
	if (error)
		return error;
	error = layout_read(pid, &layout);
	if (error)
		return target_explain_layout(&target, error, why);
	error = remote_stop(pid, &remote);
	if (error)
		return explain_stop(&target, error, why);
	/* Once more, now that nothing of it can change: alive means that we stopped the right one.
	 */
	error = target_alive(&target) ? ring_call(&target, &remote, &layout, ret, why)
				      : target_explain_seize(&target, -ESRCH, why);
	ret->stopped_ns = remote_resume(&remote);
	return error;
}

int main(int argc, char **argv)
{
	struct attach_reply reply = { .magic = ATTACH_MAGIC, .descriptor = -1 };
	struct refusal why = { "" };
	uint64_t pid, start_ticks;
	sigset_t child;

	if (argc != 3 || number_parse_u64(argv[1], 10, &pid) || !pid || pid > INT_MAX ||
		number_parse_u64(argv[2], 10, &start_ticks) || !answer_socket_there())
		return usage();

	take_care();
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	(void)signal(SIGCHLD, SIG_DFL); /* ignored, it would never be pending */
	(void)sigprocmask(SIG_BLOCK, &child, NULL);

	reply.error = attach((pid_t)pid, start_ticks, &reply, &why);
	memcpy(reply.reason, why.text, sizeof(reply.reason));
	if (reply_send(ATTACH_SOCKET_FD, &reply) < 0)
		return 1;
	return reply.error ? 1 : 0;
}
