// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/ring_helper.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"

_Static_assert(HOOK_REASON_BYTES == ATTACH_REASON_BYTES, "reasons are copied whole");

/* It gives up by itself after 500 ms where the target does not stop; a busy host is given more. */
#define ANSWER_MS 3000
/* After SIGTERM. Only a helper that is inside its window, in a call that the kernel does not
 * finish, outlives that: killing it there would take the target along, so it is left to end by
 * itself. */
#define FAREWELL_MS 3000

struct helper {
	pid_t pid;
	int pidfd, socket;
};

static void helper_done(struct helper *helper)
{
	close_fd(helper->pidfd);
	close_fd(helper->socket);
	helper->pidfd = helper->socket = -1;
}

static int spawn(const char *path, struct process_id id, int socket, pid_t *ret_pid)
{
	char pid_text[16], ticks_text[24], *arguments[] = { NULL, pid_text, ticks_text, NULL };
	char *environment[] = { NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t signals;
	int error;

	arguments[0] = (char *)(uintptr_t)path;
	(void)snprintf(pid_text, sizeof(pid_text), "%d", id.pid);
	(void)snprintf(ticks_text, sizeof(ticks_text), "%" PRIu64, id.start_ticks);
	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return -error;
	error = posix_spawnattr_init(&attributes);
	if (error)
		goto actions_destroy;
	/* Whatever this thread blocks and ignores, the helper starts with nothing of it. */
	(void)sigemptyset(&signals);
	(void)posix_spawnattr_setsigmask(&attributes, &signals);
	(void)sigfillset(&signals);
	(void)posix_spawnattr_setsigdefault(&attributes, &signals);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	error = posix_spawn_file_actions_adddup2(&actions, socket, ATTACH_SOCKET_FD);
	if (!error)
		error = posix_spawn(ret_pid, path, &actions, &attributes, arguments, environment);
	(void)posix_spawnattr_destroy(&attributes);
actions_destroy:
	(void)posix_spawn_file_actions_destroy(&actions);
	return -error;
}

static int helper_start(const char *path, struct process_id id, struct helper *ret)
{
	_cleanup_(helper_done) struct helper helper = { .pidfd = -1, .socket = -1 };
	_cleanup_close_ int theirs = -1;
	int sockets[2], error;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	helper.socket = sockets[0];
	theirs = sockets[1];
	error = spawn(path, id, theirs, &helper.pid);
	if (error)
		return error;
	/* Not reaped before we do it, so the pid cannot be another's. Without a pidfd it cannot be
	 * waited for with a deadline, nor asked for the ring: closing the socket ends it. */
	helper.pidfd = (int)syscall(SYS_pidfd_open, helper.pid, 0);
	if (helper.pidfd < 0) {
		error = -errno;
		helper_done(&helper);
		(void)waitpid(helper.pid, NULL, 0);
		return error;
	}
	*ret = helper;
	helper = (struct helper){ .pidfd = -1, .socket = -1 };
	return 0;
}

/* Whether fd becomes readable (or hangs up) before the deadline. */
static bool wait_readable(int fd, uint64_t deadline_ns)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	for (;;) {
		const uint64_t now = clock_monotonic_ns();
		const uint64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;
		const int ready = poll(&poll_fd, 1, (int)((left_ns + NS_PER_MS - 1) / NS_PER_MS));

		if (ready >= 0 || errno != EINTR)
			return ready > 0;
	}
}

static int reply_receive(int socket, struct attach_reply *ret)
{
	ssize_t got;

	if (!wait_readable(socket, clock_monotonic_ns() + ANSWER_MS * NS_PER_MS))
		return -ETIMEDOUT;
	got = recv(socket, ret, sizeof(*ret), MSG_DONTWAIT);
	if (got != (ssize_t)sizeof(*ret) || ret->magic != ATTACH_MAGIC || ret->error > 0)
		return -EPROTO;
	ret->reason[sizeof(ret->reason) - 1] = '\0';
	return 0;
}

static int explain(char reason[HOOK_REASON_BYTES], int error, const char *path)
{
	switch (error) {
	case -ETIMEDOUT:
		(void)snprintf(reason, HOOK_REASON_BYTES,
			"the attach helper did not answer within %d s, the target may be frozen or "
			"the "
			"host short of memory: it is tried again later",
			ANSWER_MS / 1000);
		break;
	case -EPROTO:
		(void)snprintf(reason, HOOK_REASON_BYTES,
			"%.150s is not the attach helper of this version, or it was killed: "
			"install "
			"both from one build",
			path);
		break;
	default:
		(void)snprintf(reason, HOOK_REASON_BYTES,
			"the attach helper %.100s could not be run (%s): install it, or correct "
			"its path",
			path, strerror(-error));
		break;
	}
	return error;
}

/* The ring's descriptor out of the helper that holds it for us. */
static int grant_take(const struct helper *helper, const struct attach_reply *reply,
	struct ring_grant *ret, char reason[HOOK_REASON_BYTES])
{
	int fd;

	if (reply->error) {
		memcpy(reason, reply->reason, HOOK_REASON_BYTES);
		return reply->error;
	}
	fd = (int)syscall(SYS_pidfd_getfd, helper->pidfd, reply->descriptor, 0);
	if (fd < 0) {
		const int error = -errno;

		(void)snprintf(reason, HOOK_REASON_BYTES,
			"the ring could not be taken from the attach helper (%s): it takes "
			"CAP_SYS_PTRACE",
			strerror(-error));
		return error;
	}
	*ret = (struct ring_grant){ .fd = fd, .params = reply->params };
	return 0;
}

/* Ends the helper and returns the CPU time it took; 0 if it would not end. */
static uint64_t helper_finish(struct helper *helper, bool answered)
{
	const uint64_t deadline_ns = clock_monotonic_ns() + FAREWELL_MS * NS_PER_MS;
	struct rusage usage = { 0 };
	uint64_t cpu_ns = 0;

	close_fd(helper->socket);
	helper->socket = -1;
	/* SIGTERM waits until the window is closed, see remote_prepare(). */
	if (!answered)
		(void)syscall(SYS_pidfd_send_signal, helper->pidfd, SIGTERM, NULL, 0);
	if (wait_readable(helper->pidfd, deadline_ns) &&
		wait4(helper->pid, NULL, 0, &usage) == helper->pid)
		cpu_ns = ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) *
				 NS_PER_S +
			 ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) *
				 NS_PER_US;
	helper_done(helper);
	return cpu_ns;
}

int ring_helper_run(const char *path, struct process_id id, struct ring_grant *ret,
	uint64_t *ret_cpu_ns, char reason[HOOK_REASON_BYTES])
{
	struct attach_reply reply;
	struct helper helper = { .pidfd = -1, .socket = -1 };
	int error = helper_start(path, id, &helper);

	*ret_cpu_ns = 0;
	if (error)
		return explain(reason, error, path);
	error = reply_receive(helper.socket, &reply);
	if (error)
		(void)explain(reason, error, path);
	else
		error = grant_take(&helper, &reply, ret, reason);
	*ret_cpu_ns = helper_finish(&helper, error != -ETIMEDOUT);
	return error;
}
