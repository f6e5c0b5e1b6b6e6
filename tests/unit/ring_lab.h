/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A forked child with memory at an address known to both, and the ring hook to try on it. */
#ifndef PAGEFOLD_TESTS_RING_LAB_H
#define PAGEFOLD_TESTS_RING_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/merge_hook.h"
#include "hypervisor-glue/smaps.h"

#define MIB         (UINT64_C(1) << 20)
#define EXTENT      (2 * MIB)
#define EXTENTS     8
#define DEADLINE_NS (10 * NS_PER_S)

struct lab {
	struct host_root root;
	struct hook_context context;
	char helper[4096];
	uint64_t memory; /* the same address in us and in the child */
	struct process child;
	struct merge_hook *hook;
};

/* The helper lies in the build directory, two levels above this test. */
static inline bool find_helper(char path[4096])
{
	const char *given = getenv("PAGEFOLD_ATTACH");
	ssize_t length;

	if (given) {
		(void)snprintf(path, 4096, "%s", given);
		return access(path, X_OK) == 0;
	}
	length = readlink("/proc/self/exe", path, 4000);
	if (length < 0)
		return false;
	path[length] = '\0';
	for (int levels = 0; levels < 3; levels++) {
		char *slash = strrchr(path, '/');

		if (!slash)
			return false;
		*slash = '\0';
	}
	strcat(path, "/pagefold-attach");
	return access(path, X_OK) == 0;
}

static inline uint64_t deadline_in(uint64_t ns)
{
	return clock_monotonic_ns() + ns;
}

/* A child that has touched every page of the memory and waits for its parent to end. */
static inline pid_t child_start(uint64_t memory, uint64_t bytes)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (uint64_t at = 0; at < bytes; at += 4096)
			memset((void *)(uintptr_t)(memory + at), (int)(at / 8192 % 255 + 1), 4096);
		(void)!write(ready[1], "", 1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static inline int lab_setup(void **state)
{
	struct lab *lab = calloc(1, sizeof(*lab));
	void *memory;
	pid_t pid;

	assert_non_null(lab);
	assert_int_equal(host_root_open("", &lab->root), 0);
	if (!find_helper(lab->helper)) {
		print_message("pagefold-attach is not built\n");
		return -1;
	}
	lab->context = (struct hook_context){ .root = &lab->root, .attach_helper = lab->helper };
	memory = mmap(NULL, (EXTENTS + 1) * EXTENT, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert_ptr_not_equal(memory, MAP_FAILED);
	lab->memory = ((uint64_t)(uintptr_t)memory + EXTENT - 1) & ~(EXTENT - 1);
	pid = child_start(lab->memory, EXTENTS * EXTENT);
	assert_int_equal(process_open(&lab->root, pid, &lab->child), 0);
	*state = lab;
	return 0;
}

static inline int lab_teardown(void **state)
{
	struct lab *lab = *state;

	if (lab->hook)
		lab->hook->ops->detach(lab->hook);
	(void)kill(lab->child.id.pid, SIGKILL);
	(void)waitpid(lab->child.id.pid, NULL, 0);
	process_done(&lab->child);
	host_root_done(&lab->root);
	free(lab);
	return 0;
}

static inline int lab_attach(struct lab *lab, char reason[HOOK_REASON_BYTES])
{
	return merge_hook_ring.attach(&lab->context, &lab->child, &lab->hook, reason);
}

/* Where the host forbids what is tested here, that is said and counted as skipped. */
static inline void attach_or_skip(struct lab *lab)
{
	char reason[HOOK_REASON_BYTES] = "";
	const int error = lab_attach(lab, reason);

	if (error == -EPERM || error == -ENOSYS || error == -ENOTSUP) {
		print_message("SKIP: %s\n", reason);
		skip();
	}
	if (error)
		print_message("%s\n", reason);
	assert_int_equal(error, 0);
}

static inline int advise_one(struct lab *lab, enum advice advice, uint64_t start, uint64_t length)
{
	struct advice_request request = { start, length, advice, 1 };

	assert_int_equal(
		lab->hook->ops->advise(lab->hook, &request, 1, deadline_in(DEADLINE_NS)), 0);
	return request.ret_result;
}

/* The flags of the VMA that holds address, all of whose bytes up to end must be in it. */
static inline struct vma vma_at(const struct lab *lab, uint64_t address)
{
	_cleanup_(smaps_list_done) struct smaps_list list = { 0 };

	assert_int_equal(smaps_read(&lab->root, lab->child.id.pid, &list), 0);
	for (size_t i = 0; i < list.count; i++)
		if (list.vmas[i].start <= address && address < list.vmas[i].end)
			return list.vmas[i];
	fail_msg("no VMA at %llx", (unsigned long long)address);
	return (struct vma){ 0 };
}

#define IN_LAB(test) cmocka_unit_test_setup_teardown(test, lab_setup, lab_teardown)

#endif
