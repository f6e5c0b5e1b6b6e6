// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/libvirt_loop.h"

#include <errno.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/cleanup.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users;
static bool registered; /* with libvirt: once per process, and for good */
static int wake_timer = -1;
static pthread_t thread;
static atomic_bool quit;

static void ignore_error(void *data _unused_, virErrorPtr error _unused_)
{
	/* libvirt prints errors on stderr by default; callers report what matters. */
}

static void on_wake(int timer, void *data _unused_)
{
	/* Its only purpose is to end virEventRunDefaultImpl(). */
	virEventUpdateTimeout(timer, -1);
}

static void *loop_main(void *arg)
{
	while (!atomic_load(&quit))
		if (virEventRunDefaultImpl() < 0)
			/* poll() without memory: again, but not at once. */
			(void)poll(NULL, 0, 1000);
	/* What was removed meanwhile is freed at the beginning of an iteration. */
	virEventUpdateTimeout(wake_timer, 0);
	(void)virEventRunDefaultImpl();
	return arg;
}

/* Signals are for the daemon's main thread; and libvirt writes to sockets, so SIGPIPE is for
 * nobody. */
int libvirt_thread_start(pthread_t *ret, void *(*function)(void *), void *arg)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = -pthread_create(ret, NULL, function, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

static int loop_register(void)
{
	if (!registered) {
		if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
			return -EIO;
		virSetErrorFunc(NULL, ignore_error);
		registered = true;
	}
	if (wake_timer < 0)
		wake_timer = virEventAddTimeout(-1, on_wake, NULL, NULL);
	return wake_timer < 0 ? -EIO : 0;
}

int libvirt_loop_acquire(void)
{
	int error = 0;

	pthread_mutex_lock(&lock);
	if (!users) {
		atomic_store(&quit, false);
		error = loop_register();
		if (!error)
			error = libvirt_thread_start(&thread, loop_main, NULL);
	}
	if (!error)
		users++;
	pthread_mutex_unlock(&lock);
	return error;
}

void libvirt_loop_release(void)
{
	pthread_mutex_lock(&lock);
	if (!--users) {
		atomic_store(&quit, true);
		virEventUpdateTimeout(wake_timer, 0);
		pthread_join(thread, NULL);
	}
	pthread_mutex_unlock(&lock);
}
