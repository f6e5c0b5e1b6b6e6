// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/means.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/log.h"
#include "tests/unit/fake_root.h"
#include "tests/unit/made_core.h"

static struct fake_root fake;
static struct core core;
static struct target *target;
static int said_fd, stderr_fd;

/* What is logged is kept, to be counted. */
static int setup(void **state)
{
	(void)state;
	fake_root_init(&fake);
	core = (struct core){ .root = fake.root, .attach_helper = "/nonexistent/pagefold-attach" };
	core.features.have[FEATURE_RING] = true;
	core.config.hook = HOOK_RING;
	target = made_target(&core, 4711, "web", 1);
	said_fd = memfd_create("said", MFD_CLOEXEC);
	stderr_fd = dup(STDERR_FILENO);
	log_open(LOG_INFO);
	return dup2(said_fd, STDERR_FILENO) < 0 || stderr_fd < 0;
}

static int teardown(void **state)
{
	(void)state;
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	close(said_fd);
	made_core_done(&core);
	fake_root_done(&fake);
	return 0;
}

/* The lines that were logged since the last call. */
static unsigned lines_said(void)
{
	char text[4096];
	unsigned lines = 0;
	const ssize_t length = pread(said_fd, text, sizeof(text), 0);

	for (ssize_t i = 0; i < length; i++)
		lines += text[i] == '\n';
	assert_int_equal(ftruncate(said_fd, 0), 0);
	assert_int_equal(lseek(said_fd, 0, SEEK_SET), 0);
	return lines;
}

static void try_again(void)
{
	target->hook_retry_ns = 0;
	assert_true(means_attach(&core, target) < 0);
	assert_string_not_equal(target->hook_reason, "");
}

static void test_means_says_once_why_a_process_is_refused(void **state)
{
	(void)state;
	try_again();
	assert_int_equal(lines_said(), 1);
	try_again();
	assert_int_equal(lines_said(), 0);
}

static void test_means_says_when_the_reason_is_another(void **state)
{
	(void)state;
	try_again();
	(void)snprintf(target->hook_reason, sizeof(target->hook_reason), "it is stopped");
	(void)lines_said();
	try_again();
	assert_int_equal(lines_said(), 1);
}

static void test_means_is_not_asked_again_before_its_time(void **state)
{
	(void)state;
	try_again();
	assert_int_equal(means_attach(&core, target), -EAGAIN);
	assert_int_equal(lines_said(), 1);
}

/* Neither by another hook instead, nor only in a minute. */
static void test_means_finds_no_room_for_a_ring_and_waits_for_some(void **state)
{
	(void)state;
	fake_root_write(&fake, "/proc/self/mountinfo", "41 31 0:38 / /cg rw - cgroup2 cgroup2 rw\n");
	fake_root_write(&fake, "/proc/4711/cgroup", "0::/vm\n");
	fake_root_write(&fake, "/cg/vm/memory.current", "4096\n");
	fake_root_write(&fake, "/cg/vm/memory.max", "8192\n");
	core.config.hook = HOOK_AUTO;
	target->guest.vmm.is_qemu = true;
	assert_int_equal(means_attach(&core, target), -ENOSPC);
	assert_non_null(strstr(target->hook_reason, "memory cgroup has room for less than"));
	assert_null(target->hook);
	assert_int_equal(lines_said(), 1);
	assert_int_equal(means_attach(&core, target), -ENOSPC);
	assert_int_equal(lines_said(), 0);
	/* By force it gets as far as the helper, which is not there. */
	target->guest.vmm.is_qemu = false;
	assert_true(means_attach_to_release(&core, target, true) < 0);
	assert_null(strstr(target->hook_reason, "memory cgroup has room for less than"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_means_says_once_why_a_process_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_means_says_when_the_reason_is_another, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_means_is_not_asked_again_before_its_time, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_means_finds_no_room_for_a_ring_and_waits_for_some, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
