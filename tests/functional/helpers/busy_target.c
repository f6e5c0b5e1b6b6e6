// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * busy_target waits|signals: its main thread goes through all kinds of waits. Without a signal,
 * none of them may answer EINTR, nor end early; under a timer's signals, EINTR is right only where
 * the handler did run.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "tests/functional/helpers/busy.h"

static volatile sig_atomic_t handled;

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#define WAIT_NS 1000000

static int pipe_fds[2], fed_fds[2], epoll_fd, socket_fds[2];
static uint32_t futex_word;
static const struct timespec wait_time = { 0, WAIT_NS };

static long wait_ppoll(void)
{
	struct pollfd fd = { pipe_fds[0], POLLIN, 0 };
	sigset_t none;

	sigemptyset(&none);
	return ppoll(&fd, 1, &wait_time, &none);
}

static long wait_poll(void)
{
	struct pollfd fd = { pipe_fds[0], POLLIN, 0 };

	return poll(&fd, 1, 1);
}

static long wait_pselect(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(pipe_fds[0], &set);
	return pselect(pipe_fds[0] + 1, &set, NULL, NULL, &wait_time, NULL);
}

static long wait_epoll(void)
{
	struct epoll_event event;

	return epoll_wait(epoll_fd, &event, 1, 1);
}

static long wait_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t none;

	sigemptyset(&none);
	return epoll_pwait(epoll_fd, &event, 1, 1, &none);
}

static long wait_futex(void)
{
	return syscall(SYS_futex, &futex_word, FUTEX_WAIT, 0, &wait_time, NULL, 0);
}

static long wait_nanosleep(void)
{
	const int error = clock_nanosleep(CLOCK_MONOTONIC, 0, &wait_time, NULL);

	errno = error;
	return error ? -1 : 0;
}

static long wait_signal(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return sigtimedwait(&set, NULL, &wait_time);
}

static long wait_receive(void)
{
	char byte;

	return recv(socket_fds[0], &byte, 1, 0); /* SO_RCVTIMEO */
}

/* error 0: a result of 0 is right; else -1 and this errno. */
static const struct {
	const char *name;
	long (*call)(void);
	int error;
} waits[] = {
	{ "ppoll", wait_ppoll, 0 },
	{ "poll", wait_poll, 0 },
	{ "pselect", wait_pselect, 0 },
	{ "epoll_wait", wait_epoll, 0 },
	{ "epoll_pwait", wait_epoll_pwait, 0 },
	{ "futex", wait_futex, ETIMEDOUT },
	{ "nanosleep", wait_nanosleep, 0 },
	{ "sigtimedwait", wait_signal, EAGAIN },
	{ "recv", wait_receive, EAGAIN },
};

static void one_wait(size_t i)
{
	const uint64_t start_ns = now_ns();
	const sig_atomic_t handled_before = handled;
	long result;
	int error;

	errno = 0;
	result = waits[i].call();
	error = result < 0 ? errno : 0;
	if (error == EINTR && handled != handled_before)
		return;
	if ((result != 0 && result != -1) || error != waits[i].error)
		wrong(waits[i].name, result, error);
	/* The kernel rounds up, never down; receive time-outs count in ticks. */
	else if (now_ns() - start_ns < WAIT_NS)
		wrong("too short a wait", (long)(now_ns() - start_ns), 0);
}

/* Numbers that another thread writes, one by one, with pauses. */
static void read_next_number(void)
{
	static uint32_t expected;
	const sig_atomic_t handled_before = handled;
	uint32_t number;
	const ssize_t got = read(fed_fds[0], &number, sizeof(number));

	if (got < 0 && errno == EINTR && handled != handled_before)
		return;
	if (got != sizeof(number) || number != expected)
		wrong("read", got, errno);
	expected = number + 1;
}

static void *feed(void *unused)
{
	for (uint32_t number = 0;; number++) {
		usleep(300);
		if (write(fed_fds[1], &number, sizeof(number)) != sizeof(number))
			break;
	}
	return unused;
}

static void on_signal(int number)
{
	(void)number;
	handled++;
}

static void open_waits(void)
{
	const struct timeval tick = { 0, WAIT_NS / 1000 };
	struct epoll_event event = { .events = EPOLLIN };

	if (pipe(pipe_fds) || pipe(fed_fds) || socketpair(AF_UNIX, SOCK_STREAM, 0, socket_fds))
		abort();
	epoll_fd = epoll_create1(0);
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipe_fds[0], &event) ||
		setsockopt(socket_fds[0], SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick)))
		abort();
	start_thread(feed);
}

static void run_waits(bool with_signals)
{
	const struct itimerval timer = { { 0, 1700 }, { 0, 1700 } };
	const struct sigaction action = { .sa_handler = on_signal }; /* without SA_RESTART */
	const pid_t parent = getppid(), self = getpid();

	open_waits();
	sigaction(SIGALRM, &action, NULL);
	if (with_signals)
		setitimer(ITIMER_REAL, &timer, NULL);
	for (;; atomic_fetch_add(&rounds, 1)) {
		for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
			one_wait(i);
		for (int i = 0; i < 4; i++)
			read_next_number();
		for (int i = 0; i < 2000; i++)
			if (syscall(SYS_getppid) != parent || syscall(SYS_getpid) != self)
				wrong("getpid", 0, 0);
	}
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	say_ready();
	run_waits(!strcmp(argv[1], "signals"));
	return 2;
}
