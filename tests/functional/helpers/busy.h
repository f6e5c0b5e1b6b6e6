/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the busy targets have in common: they say "ready PID 0 0"; then "status" is answered by
 * "rounds N errors M", and "stop" ends them with the same words. The first error is told on
 * standard error.
 */
#ifndef PAGEFOLD_TESTS_BUSY_H
#define PAGEFOLD_TESTS_BUSY_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_ulong rounds, errors;

static inline void wrong(const char *what, long result, int error)
{
	if (atomic_fetch_add(&errors, 1) == 0)
		fprintf(stderr, "wrong: %s gave %ld (%s)\n", what, result, strerror(error));
}

static inline void *control(void *unused)
{
	char line[64];

	while (fgets(line, sizeof(line), stdin)) {
		printf("rounds %lu errors %lu\n", atomic_load(&rounds), atomic_load(&errors));
		fflush(stdout);
		if (!strncmp(line, "stop", 4))
			_exit(atomic_load(&errors) ? 1 : 0);
	}
	_exit(2);
	return unused;
}

/* No signal but the main thread's own shall be taken elsewhere. */
static inline void start_thread(void *(*run)(void *))
{
	sigset_t all, before;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, NULL, run, NULL))
		abort();
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static inline void say_ready(void)
{
	printf("ready %d 0 0\n", getpid());
	fflush(stdout);
	start_thread(control);
}

#endif
