// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the ring hook must not take: processes that cannot be had, helpers that lie. This program is
 * the lying helper itself: run as one, it tells the lie that the start time names.
 */
#include "tests/unit/ring_lab.h"

#include <inttypes.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "hypervisor-glue/attach/attach_protocol.h"
#include "hypervisor-glue/ring_helper.h"

static void test_a_stopped_process_is_refused_with_the_cure(void **state)
{
	struct lab *lab = *state;
	char reason[HOOK_REASON_BYTES] = "";

	(void)kill(lab->child.id.pid, SIGSTOP);
	assert_int_equal(waitid(P_PID, (id_t)lab->child.id.pid, &(siginfo_t){ 0 }, WSTOPPED), 0);
	assert_int_equal(lab_attach(lab, reason), -EAGAIN);
	assert_non_null(strstr(reason, "kill -CONT"));
}

static void test_a_recycled_pid_is_refused(void **state)
{
	struct lab *lab = *state;
	char reason[HOOK_REASON_BYTES] = "";

	lab->child.id.start_ticks--;
	assert_int_equal(lab_attach(lab, reason), -ESRCH);
	assert_non_null(strstr(reason, "another process"));
}

static void test_a_missing_helper_is_said(void **state)
{
	struct lab *lab = *state;
	char reason[HOOK_REASON_BYTES] = "";

	lab->context.attach_helper = "/nonexistent/pagefold-attach";
	assert_int_equal(lab_attach(lab, reason), -ENOENT);
	assert_non_null(strstr(reason, "/nonexistent/pagefold-attach"));
	lab->context.attach_helper = "/bin/true";
	assert_int_equal(lab_attach(lab, reason), -EPROTO);
	assert_non_null(strstr(reason, "/bin/true"));
}

/* --- the lying helper ------------------------------------------------------------------------ */

enum lie {
	LIE_SILENCE = 1,
	LIE_SHORT_ANSWER,
	LIE_MAGIC,
	LIE_POSITIVE_ERROR,
	LIE_ENDLESS_REASON,
	LIE_NO_DESCRIPTOR,
	LIE_NOT_A_RING,
	LIE_OWN_RING,
	LIE_PARAMS, /* and all above: a true ring, described wrongly */
};

/* Offsets into io_uring_params, and what is written there. */
static const struct {
	size_t offset;
	uint32_t value;
} wrong_params[] = {
	{ offsetof(struct io_uring_params, sq_entries), 1u << 31 },
	{ offsetof(struct io_uring_params, sq_entries), 0 },
	{ offsetof(struct io_uring_params, cq_entries), 1u << 30 },
	{ offsetof(struct io_uring_params, flags), IORING_SETUP_R_DISABLED },
	{ offsetof(struct io_uring_params, flags), UINT32_MAX },
	{ offsetof(struct io_uring_params, features), 0 },
	{ offsetof(struct io_uring_params, sq_off.head), UINT32_MAX - 3 },
	{ offsetof(struct io_uring_params, sq_off.tail), 1u << 20 },
	{ offsetof(struct io_uring_params, sq_off.ring_mask), 2 },
	{ offsetof(struct io_uring_params, sq_off.array), UINT32_MAX - 3 },
	{ offsetof(struct io_uring_params, sq_off.array), 0x8000 },
	{ offsetof(struct io_uring_params, cq_off.head), 1u << 31 },
	{ offsetof(struct io_uring_params, cq_off.cqes), UINT32_MAX - 7 },
	{ offsetof(struct io_uring_params, cq_off.cqes), 4 },
	{ offsetof(struct io_uring_params, cq_off.ring_entries), 0 },
};

static int own_ring(struct io_uring_params *ret)
{
	*ret = (struct io_uring_params){ .flags = ATTACH_RING_FLAGS,
		.sq_thread_idle = ATTACH_RING_IDLE_MS };
	return (int)syscall(SYS_io_uring_setup, ATTACH_RING_ENTRIES, ret);
}

static int true_ring(pid_t pid, struct io_uring_params *ret)
{
	struct process_id id = { .pid = pid };
	struct host_root root;
	struct process process;
	struct ring_grant grant;
	char path[4096], reason[HOOK_REASON_BYTES];
	uint64_t cpu_ns;

	if (!find_helper(path) || host_root_open("", &root) || process_open(&root, pid, &process))
		return -1;
	id = process.id;
	if (ring_helper_run(path, id, &grant, &cpu_ns, reason))
		return -1;
	*ret = grant.params;
	return grant.fd;
}

static int tell_lie(pid_t pid, enum lie lie)
{
	struct attach_reply reply = { .magic = ATTACH_MAGIC, .descriptor = -1 };
	size_t length = sizeof(reply);
	char byte;

	switch (lie) {
	case LIE_SILENCE:
		for (;;)
			pause();
	case LIE_SHORT_ANSWER:
		length--;
		break;
	case LIE_MAGIC:
		reply.magic++;
		break;
	case LIE_POSITIVE_ERROR:
		reply.error = 1;
		break;
	case LIE_ENDLESS_REASON:
		reply.error = -EPERM;
		memset(reply.reason, 'x', sizeof(reply.reason));
		break;
	case LIE_NO_DESCRIPTOR:
		reply.descriptor = 1000000;
		break;
	case LIE_NOT_A_RING:
		reply.descriptor = ATTACH_SOCKET_FD;
		break;
	case LIE_OWN_RING:
		reply.descriptor = own_ring(&reply.params);
		break;
	case LIE_PARAMS:
	default:
		reply.descriptor = true_ring(pid, &reply.params);
		memcpy((char *)&reply.params + wrong_params[lie - LIE_PARAMS].offset,
			&wrong_params[lie - LIE_PARAMS].value, sizeof(uint32_t));
		break;
	}
	(void)send(ATTACH_SOCKET_FD, &reply, length, MSG_NOSIGNAL);
	(void)recv(ATTACH_SOCKET_FD, &byte, 1, 0);
	return 0;
}

/* Attaches through the liar. */
static int attach_by_lie(struct lab *lab, enum lie lie, char reason[HOOK_REASON_BYTES])
{
	char self[4096];
	const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int error;

	assert_true(length > 0);
	self[length] = '\0';
	lab->context.attach_helper = self;
	lab->child.id.start_ticks = lie;
	reason[0] = '\0';
	error = lab_attach(lab, reason);
	assert_true(memchr(reason, '\0', HOOK_REASON_BYTES) && reason[0]);
	assert_null(lab->hook);
	return error;
}

static void test_a_helper_that_lies_is_not_believed(void **state)
{
	const struct {
		enum lie lie;
		int error;
	} lies[] = { { LIE_SHORT_ANSWER, -EPROTO }, { LIE_MAGIC, -EPROTO },
		{ LIE_POSITIVE_ERROR, -EPROTO }, { LIE_ENDLESS_REASON, -EPERM },
		{ LIE_NO_DESCRIPTOR, -EBADF }, { LIE_NOT_A_RING, -EPROTO } };
	char reason[HOOK_REASON_BYTES];

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++)
		assert_int_equal(attach_by_lie(*state, lies[i].lie, reason), lies[i].error);
}

/* It would work on the memory of whoever made it. */
static void test_a_ring_of_another_process_is_refused(void **state)
{
	struct io_uring_params params;
	char reason[HOOK_REASON_BYTES];
	const int fd = own_ring(&params);

	if (fd < 0) {
		print_message("SKIP: no io_uring here: %s\n", strerror(errno));
		skip();
	}
	close(fd);
	assert_int_equal(attach_by_lie(*state, LIE_OWN_RING, reason), -EPROTO);
	assert_non_null(strstr(reason, "do not trust"));
}

/* They come out of the target's memory, where other threads of it may write. */
static void test_parameters_that_lead_astray_are_refused(void **state)
{
	struct lab *lab = *state;
	char reason[HOOK_REASON_BYTES];

	attach_or_skip(lab);
	lab->hook->ops->detach(lab->hook);
	lab->hook = NULL;
	for (size_t i = 0; i < ARRAY_SIZE(wrong_params); i++)
		assert_int_equal(attach_by_lie(lab, (enum lie)(LIE_PARAMS + i), reason), -EPROTO);
}

static void test_a_silent_helper_is_given_up(void **state)
{
	const uint64_t before_ns = clock_monotonic_ns();
	char reason[HOOK_REASON_BYTES];

	assert_int_equal(attach_by_lie(*state, LIE_SILENCE, reason), -ETIMEDOUT);
	assert_true(clock_monotonic_ns() - before_ns < 20 * NS_PER_S);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), 0); /* ended and reaped; our child lives */
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		IN_LAB(test_a_stopped_process_is_refused_with_the_cure),
		IN_LAB(test_a_recycled_pid_is_refused),
		IN_LAB(test_a_missing_helper_is_said),
		IN_LAB(test_a_helper_that_lies_is_not_believed),
		IN_LAB(test_a_ring_of_another_process_is_refused),
		IN_LAB(test_parameters_that_lead_astray_are_refused),
		IN_LAB(test_a_silent_helper_is_given_up),
	};

	if (argc == 3)
		return tell_lie(atoi(argv[1]), (enum lie)atoi(argv[2]));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
