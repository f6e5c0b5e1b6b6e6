// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/newcomers.h"

#include <errno.h>

#include "tests/unit/fake_host.h"

struct world {
	struct fake_root fake;
	struct newcomers newcomers;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	fake_host_init(&world->fake);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	newcomers_done(&world->newcomers);
	fake_root_done(&world->fake);
	free(world);
	return 0;
}

static void last_pid_is(struct world *world, const char *pid)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "0.20 0.18 0.12 1/80 %s\n", pid);
	fake_root_write(&world->fake, "/proc/loadavg", text);
}

static bool came(struct world *world)
{
	return newcomers_came(&world->newcomers, &world->fake.root);
}

static void test_newcomers_the_first_look_finds_nobody(void **state)
{
	struct world *world = *state;

	fake_host_add_qemu(&world->fake, getpid(), "old");
	last_pid_is(world, "100");
	assert_false(came(world));
	assert_false(came(world));
}

static void test_newcomers_a_vm_is_found_once_it_is_one(void **state)
{
	struct world *world = *state;

	last_pid_is(world, "100");
	assert_false(came(world));
	fake_host_add_process(&world->fake, getpid(), "/bin/sh");
	last_pid_is(world, "101");
	assert_false(came(world)); /* has been seen, and may be about to execute a VMM */
	fake_host_remove(&world->fake, getpid());
	fake_host_add_qemu(&world->fake, getpid(), "new");
	assert_true(came(world));
	assert_false(came(world));
}

static void test_newcomers_other_processes_are_none(void **state)
{
	struct world *world = *state;

	last_pid_is(world, "100");
	assert_false(came(world));
	fake_host_add_process(&world->fake, getpid(), "/bin/sh");
	last_pid_is(world, "102"); /* and one that has ended already */
	assert_false(came(world));
	assert_false(came(world));
	assert_int_equal(world->newcomers.fresh_count, 0);
}

static void test_newcomers_last_pid_is_the_last_number(void **state)
{
	static const char *const hostile[] = { "", "\n", "12", "0.1 0.2 0.3 1/2 x",
		"0.1 0.2 0.3 1/2 ", "0.1 0.2 0.3 1/2 99999999999999999999999999",
		"0.1 0.2 0.3 1/2 -4" };
	uint64_t pid = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++) {
		assert_int_equal(newcomers_parse_last_pid(hostile[i], &pid), -EINVAL);
		assert_int_equal(pid, 7);
	}
	assert_int_equal(newcomers_parse_last_pid("0.20 0.18 0.12 1/80 11206\n", &pid), 0);
	assert_int_equal(pid, 11206);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_newcomers_the_first_look_finds_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_newcomers_a_vm_is_found_once_it_is_one, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_newcomers_other_processes_are_none, setup, teardown),
		cmocka_unit_test(test_newcomers_last_pid_is_the_last_number),
	};

	return cmocka_run_group_tests_name("newcomers", tests, NULL, NULL);
}
