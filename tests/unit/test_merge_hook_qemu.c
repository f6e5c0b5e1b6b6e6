// SPDX-License-Identifier: GPL-2.0-or-later
/* The ring hook on a real QEMU behind its own seccomp sandbox, as libvirt starts it. */
#include "tests/unit/ring_lab.h"

#include <grp.h>
#include <poll.h>
#include <sys/resource.h>

#define QEMU      "/usr/bin/qemu-system-x86_64"
#define RAM_BYTES (256 * MIB)

/* What Debian's libvirt-qemu is to libvirt: somebody without privileges. */
#define UNPRIVILEGED_ID 54321

static void qemu_run(bool unprivileged)
{
	const struct rlimit memlock = { 64 << 10, 64 << 10 };
	const gid_t no_groups[] = { UNPRIVILEGED_ID };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unprivileged && (setrlimit(RLIMIT_MEMLOCK, &memlock) || setgroups(1, no_groups) ||
				    setresgid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID) ||
				    setresuid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)))
		_exit(126);
	if (unprivileged)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user clears it */
	execl(QEMU, QEMU, "-sandbox",
		"on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny", "-accel",
		"tcg,thread=single,tb-size=32", "-machine", "q35,mem-merge=off", "-m", "256",
		"-nodefaults", "-nographic", "-serial", "null", "-monitor", "none", "-display",
		"none", NULL);
	_exit(127);
}

/* The whole of guest RAM, coalesced where marks split it; flags: those that all of it has. */
static struct vma guest_ram(const struct lab *lab, uint64_t start)
{
	_cleanup_(smaps_list_done) struct smaps_list list = { 0 };
	struct vma ram = { 0 };

	if (smaps_read(&lab->root, lab->child.id.pid, &list))
		return ram;
	for (size_t i = 0; i < list.count; i++) {
		const struct vma *vma = &list.vmas[i];

		if (!start && vma->writable && vma->end - vma->start == RAM_BYTES)
			return *vma;
		if (start && vma->start <= start && start < vma->end)
			return *vma;
	}
	return ram;
}

static bool qemu_is_sandboxed(const struct lab *lab)
{
	_cleanup_free_ char *status = NULL;

	return !host_root_read_process(&lab->root, lab->child.id.pid, "status", &status, NULL) &&
	       strstr(status, "Seccomp:\t2");
}

static int qemu_setup(struct lab *lab, bool unprivileged)
{
	const uint64_t deadline_ns = deadline_in(30 * NS_PER_S);
	pid_t pid;

	assert_int_equal(host_root_open("", &lab->root), 0);
	if (!find_helper(lab->helper))
		return -1;
	lab->context = (struct hook_context){ .root = &lab->root, .attach_helper = lab->helper };
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		qemu_run(unprivileged);
	assert_int_equal(process_open(&lab->root, pid, &lab->child), 0);
	/* QEMU does not say when its sandbox is up and, after that, its RAM is there. */
	while ((!qemu_is_sandboxed(lab) || !guest_ram(lab, 0).end) && process_alive(&lab->child)) {
		assert_true(clock_monotonic_ns() < deadline_ns);
		(void)poll(NULL, 0, 10);
	}
	lab->memory = guest_ram(lab, 0).start;
	return 0;
}

static int setup(void **state, bool unprivileged)
{
	struct lab *lab = calloc(1, sizeof(*lab));

	assert_non_null(lab);
	*state = lab;
	if (access(QEMU, X_OK) || geteuid() != 0)
		return 0; /* the test itself says why it is skipped */
	return qemu_setup(lab, unprivileged);
}

static int setup_root(void **state)
{
	return setup(state, false);
}

static int setup_unprivileged(void **state)
{
	return setup(state, true);
}

static int teardown(void **state)
{
	struct lab *lab = *state;

	if (!lab->child.id.pid) {
		free(lab);
		return 0;
	}
	return lab_teardown(state);
}

static void test_guest_ram_of_a_sandboxed_qemu_is_marked_and_unmarked(void **state)
{
	struct lab *lab = *state;
	const uint64_t bytes = 64 * MIB;
	uint64_t start;

	if (!lab->child.id.pid) {
		print_message("SKIP: takes root and " QEMU "\n");
		skip();
	}
	assert_true(lab->memory);
	assert_true(process_alive(&lab->child));
	start = lab->memory + 32 * MIB;
	assert_false(guest_ram(lab, start).flags & VMA_MERGEABLE);
	attach_or_skip(lab);
	assert_int_equal(advise_one(lab, ADVICE_MERGEABLE, start, bytes), 0);
	assert_int_equal(advise_one(lab, ADVICE_NOHUGEPAGE, start, bytes), 0);
	assert_true(guest_ram(lab, start).flags & VMA_MERGEABLE);
	assert_true(guest_ram(lab, start).flags & VMA_NOHUGEPAGE);
	assert_int_equal(guest_ram(lab, start).start, start);
	assert_int_equal(guest_ram(lab, start).end, start + bytes);
	assert_int_equal(advise_one(lab, ADVICE_UNMERGEABLE, start, bytes), 0);
	assert_int_equal(advise_one(lab, ADVICE_HUGEPAGE, start, bytes), 0);
	assert_false(guest_ram(lab, start).flags & VMA_MERGEABLE);
	assert_true(process_alive(&lab->child));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_guest_ram_of_a_sandboxed_qemu_is_marked_and_unmarked, setup_root,
			teardown),
		{ "the_same_without_privileges_and_64_KiB_of_memlock",
			test_guest_ram_of_a_sandboxed_qemu_is_marked_and_unmarked,
			setup_unprivileged, teardown, NULL },
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
