// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * attach_target MODE: a process that is hard, or forbidden, to attach to. Says "ready PID 0 0" and
 * then waits for the end of its input.
 *
 *     plain                nothing special
 *     allowlist            seccomp allows what it needs, and kills it for anything else
 *     errno-list           the same, but answers EPERM instead
 *     strict               seccomp's strict mode
 *     denylist             seccomp forbids some calls, io_uring_setup and close not among them
 *     two-denylists        two filters, the older of which forbids io_uring_setup
 *     kept-descriptors     seccomp kills it for closing a descriptor above 2
 *     argument-filter      seccomp allows io_uring_setup for up to 8 entries only
 *     dispatch             answers foreign system calls itself (as Wine does)
 *     nofile               no descriptor left
 *     dead-leader          its main thread has ended
 *     vfork                in vfork(), that is in uninterruptible sleep
 *     trace PID            traces that process
 *     threads              sixteen threads, coming and going
 *     exec                 becomes another program all the time, out of a second thread
 *     signals-blocked      all signals blocked, and SIGTRAP ignored
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define LOAD(field)        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define IF(value, t, f)    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (t), (f))
#define ABOVE(value, t, f) BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (value), (t), (f))
#define RETURN(action)     BPF_STMT(BPF_RET | BPF_K, (action))

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void ready(void)
{
	printf("ready %d 0 0\n", getpid());
	fflush(stdout);
}

/* Raw calls only: under an allowlist the C library's own might be forbidden. */
static void wait_for_end_of_input(void)
{
	char byte;

	while (syscall(SYS_read, 0, &byte, 1) > 0)
		;
	syscall(SYS_exit, 0);
}

static void install(struct sock_filter *steps, size_t length)
{
	struct sock_fprog program = { (unsigned short)length, steps };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		die("seccomp");
}

static void mode_list(uint32_t otherwise)
{
	struct sock_filter allowed[] = { LOAD(nr), IF(SYS_read, 4, 0), IF(SYS_exit, 3, 0),
		IF(SYS_exit_group, 2, 0), IF(SYS_rt_sigreturn, 1, 0), RETURN(otherwise),
		RETURN(SECCOMP_RET_ALLOW) };

	ready();
	install(allowed, ARRAY_SIZE(allowed));
}

static void mode_strict(void)
{
	ready();
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		die("seccomp");
}

static void mode_denylist(uint32_t denied_call)
{
	struct sock_filter denied[] = { LOAD(arch), IF(AUDIT_ARCH_X86_64, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS), LOAD(nr), IF(denied_call, 1, 0),
		RETURN(SECCOMP_RET_ALLOW), RETURN(SECCOMP_RET_KILL_PROCESS) };

	install(denied, ARRAY_SIZE(denied));
}

static void mode_kept_descriptors(void)
{
	struct sock_filter kept[] = { LOAD(nr), IF(SYS_close, 0, 3), LOAD(args[0]), ABOVE(3, 0, 1),
		RETURN(SECCOMP_RET_KILL_PROCESS), RETURN(SECCOMP_RET_ALLOW) };

	/* 3 is what the helper would guess, so that the real one is above it. */
	if (dup2(0, 3) != 3)
		die("dup2");
	install(kept, ARRAY_SIZE(kept));
}

static void mode_argument_filter(void)
{
	struct sock_filter few[] = { LOAD(nr), IF(SYS_io_uring_setup, 0, 3), LOAD(args[0]),
		ABOVE(8, 0, 1), RETURN(SECCOMP_RET_KILL_PROCESS), RETURN(SECCOMP_RET_ALLOW) };

	install(few, ARRAY_SIZE(few));
}

static volatile char dispatch_selector; /* SYSCALL_DISPATCH_FILTER_ALLOW */

static void mode_dispatch(void)
{
	/* PR_SET_SYSCALL_USER_DISPATCH, _ON */
	if (prctl(59, 1, 0, 0, &dispatch_selector)) {
		printf("skip this kernel has no syscall user dispatch\n");
		exit(0);
	}
}

static void mode_nofile(void)
{
	const struct rlimit none = { 3, 3 };

	if (setrlimit(RLIMIT_NOFILE, &none))
		die("setrlimit");
}

static void *run_on(void *unused)
{
	(void)unused;
	/* The leader is dead once its state says so, which happens after pthread_exit() began. */
	for (;;) {
		char text[512] = "";
		FILE *file = fopen("/proc/self/stat", "re");
		const char *state;

		if (file) {
			(void)!fread(text, 1, sizeof(text) - 1, file);
			fclose(file);
		}
		state = strrchr(text, ')');
		if (state && state[2] == 'Z')
			break;
	}
	ready();
	wait_for_end_of_input();
	return NULL;
}

static void mode_dead_leader(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_on, NULL))
		die("pthread_create");
	pthread_exit(NULL);
}

static void mode_vfork(void)
{
	const pid_t parent = getpid();

	/* The child has our memory and our stack: it only makes system calls. */
	if (vfork() == 0) {
		printf("ready %d 0 0\n", parent);
		fflush(stdout);
		wait_for_end_of_input();
	}
}

static void mode_trace(pid_t pid)
{
	if (ptrace(PTRACE_SEIZE, pid, NULL, NULL))
		die("ptrace");
}

static void *come(void *unused)
{
	usleep(100);
	return unused;
}

static void *come_and_go(void *unused)
{
	for (;;) {
		pthread_t thread;

		if (!pthread_create(&thread, NULL, come, NULL))
			pthread_join(thread, NULL);
	}
	return unused;
}

static void mode_threads(void)
{
	for (int i = 0; i < 15; i++) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, come_and_go, NULL))
			die("pthread_create");
	}
}

static char *arguments_again[] = { NULL, NULL, NULL, NULL };

static void *become_another(void *unused)
{
	usleep(500);
	execv("/proc/self/exe", arguments_again);
	abort();
	return unused;
}

/* Whoever has a second argument has said before that it is ready. */
static void mode_exec(char **argv, bool first)
{
	static char name[] = "again";
	pthread_t thread;

	if (first)
		ready();
	arguments_again[0] = argv[0];
	arguments_again[1] = argv[1];
	arguments_again[2] = name;
	if (pthread_create(&thread, NULL, become_another, NULL))
		die("pthread_create");
	for (;;)
		pause();
}

static void mode_signals_blocked(void)
{
	const struct sigaction action = { .sa_handler = SIG_IGN };
	sigset_t all;

	/* What single-stepping would wipe out: an ignored and blocked SIGTRAP. */
	sigaction(SIGTRAP, &action, NULL);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
}

static void run_mode(const char *mode, char **argv, const char *argument)
{
	if (!strcmp(mode, "allowlist"))
		mode_list(SECCOMP_RET_KILL_PROCESS);
	else if (!strcmp(mode, "errno-list"))
		mode_list(SECCOMP_RET_ERRNO | EPERM);
	else if (!strcmp(mode, "strict"))
		mode_strict();
	else if (!strcmp(mode, "denylist"))
		mode_denylist(SYS_execve);
	else if (!strcmp(mode, "two-denylists")) {
		mode_denylist(SYS_io_uring_setup);
		mode_denylist(SYS_execve);
	} else if (!strcmp(mode, "kept-descriptors"))
		mode_kept_descriptors();
	else if (!strcmp(mode, "argument-filter"))
		mode_argument_filter();
	else if (!strcmp(mode, "dispatch"))
		mode_dispatch();
	else if (!strcmp(mode, "nofile"))
		mode_nofile();
	else if (!strcmp(mode, "dead-leader"))
		mode_dead_leader();
	else if (!strcmp(mode, "vfork"))
		mode_vfork();
	else if (!strcmp(mode, "trace"))
		mode_trace(atoi(argument));
	else if (!strcmp(mode, "threads"))
		mode_threads();
	else if (!strcmp(mode, "signals-blocked"))
		mode_signals_blocked();
	else if (!strcmp(mode, "exec"))
		mode_exec(argv, !strcmp(argument, "0"));
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 2;
	run_mode(argv[1], argv, argc > 2 ? argv[2] : "0");
	if (strcmp(argv[1], "allowlist") && strcmp(argv[1], "errno-list") &&
		strcmp(argv[1], "strict"))
		ready();
	wait_for_end_of_input();
	return 0;
}
