/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A forked process for tests that look at another's memory. work(argument, 0) runs in it first, and
 * work(argument, step) at each child_step(); both return to the test only when it is done.
 */
#ifndef PAGEFOLD_TESTS_CHILD_H
#define PAGEFOLD_TESTS_CHILD_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

typedef void (*child_work)(void *argument, char step);

struct child {
	pid_t pid;
	int commands, answers;
};

static inline void child_run(int commands, int answers, child_work work, void *argument)
{
	char step = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	do {
		work(argument, step);
		if (write(answers, &step, 1) != 1)
			break;
	} while (read(commands, &step, 1) == 1);
	_exit(0);
}

static inline void child_await(const struct child *child)
{
	char answer;

	assert_int_equal(read(child->answers, &answer, 1), 1);
}

static inline void child_start(struct child *child, child_work work, void *argument)
{
	int commands[2], answers[2];

	assert_int_equal(pipe(commands), 0);
	assert_int_equal(pipe(answers), 0);
	child->pid = fork();
	assert_true(child->pid >= 0);
	if (child->pid == 0) {
		(void)close(commands[1]);
		(void)close(answers[0]);
		child_run(commands[0], answers[1], work, argument);
	}
	(void)close(commands[0]);
	(void)close(answers[1]);
	child->commands = commands[1];
	child->answers = answers[0];
	child_await(child);
}

static inline void child_step(const struct child *child, char step)
{
	assert_int_equal(write(child->commands, &step, 1), 1);
	child_await(child);
}

/* Killed, but not reaped: a zombie until child_stop(). */
static inline void child_kill(const struct child *child)
{
	siginfo_t info;

	assert_int_equal(kill(child->pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT), 0);
}

static inline void child_stop(struct child *child)
{
	(void)close(child->commands);
	(void)close(child->answers);
	(void)kill(child->pid, SIGKILL);
	(void)waitpid(child->pid, NULL, 0);
}

#endif
