// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/process_table.h"

#include <errno.h>
#include <linux/sched.h>
#include <sys/syscall.h>

#include "common/cleanup.h"
#include "hypervisor-glue/process.h"
#include "tests/unit/child.h"
#include "tests/unit/fake_root.h"

#define AT(seconds) ((uint64_t)((seconds) * 1e9))

struct world {
	struct fake_root fake;
	struct process_table table;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	(void)alarm(60);
	fake_root_init(&world->fake);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	process_table_done(&world->table);
	fake_root_done(&world->fake);
	free(world);
	(void)alarm(0);
	return 0;
}

static void write_stat(const struct world *world, pid_t pid, const char *comm, pid_t parent)
{
	char path[64], text[256];

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	(void)snprintf(text, sizeof(text),
		"%d (%s) S %d 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0\n", (int)pid, comm, (int)parent);
	fake_root_write(&world->fake, path, text);
}

static void set_exe(const struct world *world, pid_t pid, const char *exe)
{
	char path[64], full[512];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	fake_root_path(&world->fake, path, full);
	(void)unlink(full);
	if (exe)
		fake_root_link(&world->fake, path, exe);
}

static void open_descriptor(const struct world *world, pid_t pid, const char *shown)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/9", (int)pid);
	fake_root_link(&world->fake, path, shown);
}

static void add(const struct world *world, pid_t pid, const char *comm, pid_t parent, const char *exe)
{
	char path[64];

	write_stat(world, pid, comm, parent);
	set_exe(world, pid, exe);
	(void)snprintf(path, sizeof(path), "/proc/%d/fd/x", (int)pid);
	fake_root_make_parents(&world->fake, path);
	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	fake_root_write(&world->fake, path, "");
}

/* The pid is given to another process, which has another directory. */
static void recycle(const struct world *world, pid_t pid)
{
	char path[64], from[512], to[512];

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	fake_root_path(&world->fake, path, from);
	fake_root_path(&world->fake, "/proc/gone", to);
	assert_int_equal(rename(from, to), 0);
}

static const struct process_entry *find(const struct process_table *table, pid_t pid)
{
	for (size_t i = 0; i < table->count; i++)
		if (table->entries[i].pid == pid)
			return &table->entries[i];
	return NULL;
}

static const struct process_entry *look(struct world *world, uint64_t now_ns, pid_t pid)
{
	assert_int_equal(process_table_refresh(&world->fake.root, now_ns, &world->table), 0);
	return find(&world->table, pid);
}

/* ---- what is seen ---- */

static void test_table_has_every_process_in_order(void **state)
{
	struct world *world = *state;
	const struct process_entry *entries;

	add(world, 300, "qemu-system-x86", 1, "/usr/bin/qemu-system-x86_64 (deleted)");
	add(world, 2, "kthreadd", 0, NULL);
	add(world, 40, "fire cracker", 1, "/usr/bin/firecracker");
	open_descriptor(world, 40, "anon_inode:kvm-vm");
	add(world, 50, "cat", 1, "/bin/cat");
	assert_non_null(look(world, AT(1), 300));
	assert_int_equal(world->table.count, 4);
	entries = world->table.entries;
	assert_int_equal(entries[0].pid, 2);
	assert_null(entries[0].exe);
	assert_int_equal(entries[1].pid, 40);
	assert_string_equal(entries[1].comm, "fire cracker");
	assert_true(entries[1].is_vmm);
	assert_int_equal(entries[2].parent, 1);
	assert_string_equal(entries[2].exe, "/bin/cat");
	assert_false(entries[2].is_vmm);
	assert_string_equal(entries[3].exe, "/usr/bin/qemu-system-x86_64");
	assert_true(entries[3].is_vmm);
}

static void test_table_forgets_who_has_gone_and_finds_who_has_come(void **state)
{
	struct world *world = *state;

	add(world, 50, "cat", 1, "/bin/cat");
	add(world, 60, "dog", 1, "/bin/dog");
	assert_non_null(look(world, AT(1), 50));
	recycle(world, 50);
	add(world, 55, "eel", 1, "/bin/eel");
	assert_null(look(world, AT(2), 50));
	assert_int_equal(world->table.count, 2);
	assert_string_equal(find(&world->table, 55)->exe, "/bin/eel");
	assert_string_equal(find(&world->table, 60)->exe, "/bin/dog");
}

static void test_table_of_a_proc_that_cannot_be_read_is_empty(void **state)
{
	struct world *world = *state;

	add(world, 50, "cat", 1, "/bin/cat");
	assert_non_null(look(world, AT(1), 50));
	(void)close(world->fake.root.proc_fd);
	world->fake.root.proc_fd = -1;
	assert_int_equal(process_table_refresh(&world->fake.root, AT(2), &world->table), -EBADF);
	assert_int_equal(world->table.count, 0);
}

/* An endless path, and a stat that is none. */
static void test_table_is_not_spoilt_by_one_broken_process(void **state)
{
	struct world *world = *state;

	add(world, 50, "cat", 1, "/bin/cat");
	fake_root_write(&world->fake, "/proc/51/stat", "garbage");
	fake_root_write(&world->fake, "/proc/52/x", "");
	assert_non_null(look(world, AT(1), 50));
	assert_int_equal(world->table.count, 1);
}

/* ---- what is noticed, and when ---- */

/* Seen at 1 s and at 2 s: known for a second, so that a second later it is due. */
static void add_known(struct world *world, pid_t pid, pid_t parent, const char *exe)
{
	add(world, pid, "known", parent, exe);
	assert_non_null(look(world, AT(1), pid));
	assert_non_null(look(world, AT(2), pid));
}

static void test_descriptor_opened_later_is_noticed_after_as_long_again(void **state)
{
	struct world *world = *state;

	add_known(world, 50, 1, "/usr/bin/crosvm");
	open_descriptor(world, 50, "anon_inode:kvm-vm");
	assert_false(look(world, AT(2.9), 50)->is_vmm);
	assert_true(look(world, AT(3), 50)->is_vmm);
	assert_int_equal(find(&world->table, 50)->first_ns, AT(1));
}

static void test_process_known_for_long_is_looked_at_all_the_same(void **state)
{
	struct world *world = *state;

	add_known(world, 50, 1, "/usr/bin/crosvm");
	assert_non_null(look(world, AT(10000), 50));
	open_descriptor(world, 50, "anon_inode:kvm-vm");
	assert_false(look(world, AT(10000 + PROCESS_TABLE_OLD_S - 1), 50)->is_vmm);
	assert_true(look(world, AT(10000 + PROCESS_TABLE_OLD_S), 50)->is_vmm);
}

static void test_new_process_is_looked_at_again_next_time(void **state)
{
	struct world *world = *state;

	add(world, 50, "new", 1, "/usr/bin/crosvm");
	assert_false(look(world, AT(1), 50)->is_vmm);
	open_descriptor(world, 50, "anon_inode:kvm-vm");
	assert_true(look(world, AT(1.001), 50)->is_vmm);
}

static void test_another_program_is_noticed_at_once(void **state)
{
	struct world *world = *state;

	add_known(world, 50, 1, "/usr/bin/wrapper");
	set_exe(world, 50, "/usr/bin/qemu-system-x86_64");
	write_stat(world, 50, "qemu-system-x86", 1);
	assert_true(look(world, AT(2.1), 50)->is_vmm);
	assert_string_equal(find(&world->table, 50)->comm, "qemu-system-x86");
	set_exe(world, 50, NULL);
	assert_null(look(world, AT(2.2), 50)->exe);
}

/* However long the process has been there: the program opens its VM when it gets to it. */
static void test_another_program_is_looked_at_again_next_time(void **state)
{
	struct world *world = *state;

	add_known(world, 50, 1, "/usr/bin/wrapper");
	assert_non_null(look(world, AT(1000), 50));
	set_exe(world, 50, "/usr/bin/crosvm");
	assert_false(look(world, AT(1001), 50)->is_vmm);
	open_descriptor(world, 50, "anon_inode:kvm-vm");
	assert_true(look(world, AT(1001.1), 50)->is_vmm);
}

static void test_recycled_pid_is_noticed_at_once(void **state)
{
	struct world *world = *state;

	add_known(world, 50, 1, "/usr/bin/crosvm");
	recycle(world, 50);
	add(world, 50, "another", 7, "/usr/bin/crosvm");
	open_descriptor(world, 50, "anon_inode:kvm-vm");
	assert_true(look(world, AT(2.1), 50)->is_vmm);
	assert_string_equal(find(&world->table, 50)->comm, "another");
	assert_int_equal(find(&world->table, 50)->first_ns, AT(2.1));
}

/* What the kernel starts as a program is a worker's child, and has no program yet for a moment. */
static void test_program_of_the_kernels_is_noticed_at_once(void **state)
{
	struct world *world = *state;

	add_known(world, 50, 33, NULL);
	set_exe(world, 50, "/sbin/modprobe");
	assert_string_equal(look(world, AT(2.1), 50)->exe, "/sbin/modprobe");
}

static void test_kernel_thread_is_not_asked_for_its_program(void **state)
{
	struct world *world = *state;

	add_known(world, 50, KTHREADD_PID, NULL);
	set_exe(world, 50, "/bin/cat");
	assert_null(look(world, AT(2.1), 50)->exe);
	assert_string_equal(look(world, AT(3), 50)->exe, "/bin/cat");
}

/* ---- the real /proc ---- */

static int real_setup(void **state)
{
	const int failed = setup(state);
	struct world *world = *state;

	host_root_done(&world->fake.root);
	return failed || host_root_open("", &world->fake.root) < 0;
}

/* 'x': another program, which waits for ever. */
static void child_that_executes(void *argument, char step)
{
	static char *const argv[] = { (char *)(uintptr_t)"cat", NULL };
	int pipes[2];

	(void)argument;
	if (step == 'x' && pipe(pipes) == 0 && dup2(pipes[0], 0) == 0)
		(void)execv("/bin/cat", argv);
}

static bool is_cat(const struct world *world, pid_t pid)
{
	_cleanup_free_ char *exe = NULL;

	return process_exe_read(&world->fake.root, pid, &exe) == 0 && strstr(exe, "cat");
}

static void test_real_process_is_known_again_until_it_executes(void **state)
{
	struct world *world = *state;
	const struct process_entry *entry;
	struct child child;

	child_start(&child, child_that_executes, NULL);
	assert_non_null(look(world, AT(1), child.pid));
	assert_non_null(look(world, AT(1000), child.pid));
	entry = look(world, AT(1001), child.pid);
	assert_int_equal(entry->looked_ns, AT(1000));
	assert_int_equal(entry->parent, getpid());
	assert_non_null(strstr(entry->exe, "test_process_table"));
	assert_false(entry->is_vmm);
	assert_int_equal(write(child.commands, "x", 1), 1);
	while (!is_cat(world, child.pid)) /* nothing tells of it but /proc */
		;
	entry = look(world, AT(1002), child.pid);
	assert_int_equal(entry->looked_ns, AT(1002));
	assert_string_equal(entry->comm, "cat");
	child_stop(&child);
}

/* A child that has this pid (0: any), and waits to be killed; -errno. */
static pid_t spawn(pid_t wanted)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = wanted ? (uint64_t)(uintptr_t)&wanted : 0,
		.set_tid_size = wanted ? 1 : 0,
	};
	const long pid = syscall(SYS_clone3, &args, sizeof(args));

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	return pid < 0 ? -errno : (pid_t)pid;
}

static void end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Same pid, same program, same parent, and yet another one: only the inode tells. */
static void test_real_pid_that_was_recycled_is_somebody_else(void **state)
{
	struct world *world = *state;
	ino_t before;
	pid_t pid, again;

	pid = spawn(0);
	assert_true(pid > 0);
	assert_non_null(look(world, AT(1), pid));
	before = look(world, AT(1000), pid)->inode;
	end(pid);
	again = spawn(pid);
	if (again == -EPERM)
		skip(); /* a pid of one's choice takes CAP_CHECKPOINT_RESTORE */
	assert_int_equal(again, pid);
	assert_int_not_equal(look(world, AT(1001), pid)->inode, before);
	assert_int_equal(find(&world->table, pid)->looked_ns, AT(1001));
	end(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_table_has_every_process_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_table_forgets_who_has_gone_and_finds_who_has_come, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_table_of_a_proc_that_cannot_be_read_is_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_table_is_not_spoilt_by_one_broken_process, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_descriptor_opened_later_is_noticed_after_as_long_again, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_process_known_for_long_is_looked_at_all_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_new_process_is_looked_at_again_next_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_program_is_noticed_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_another_program_is_looked_at_again_next_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_recycled_pid_is_noticed_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_program_of_the_kernels_is_noticed_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_kernel_thread_is_not_asked_for_its_program, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_real_process_is_known_again_until_it_executes, real_setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_real_pid_that_was_recycled_is_somebody_else, real_setup, teardown),
	};

	return cmocka_run_group_tests_name("process_table", tests, NULL, NULL);
}
