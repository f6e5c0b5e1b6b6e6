// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/numa.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>

#include "tests/unit/child.h"
#include "tests/unit/fake_root.h"

#define NODES "/sys/devices/system/node/"
#define PAGES ((size_t)1500) /* more than are asked for at a time */

static void test_no_numa_is_no_nodes(void **state)
{
	struct numa_nodes nodes;
	struct fake_root fake;

	(void)state;
	fake_root_init(&fake);
	assert_int_equal(numa_nodes_read(&fake.root, &nodes), 0);
	assert_int_equal(nodes.count, 0);
	numa_nodes_done(&nodes);
	fake_root_done(&fake);
}

static void test_nodes_have_numbers_and_cpus(void **state)
{
	struct numa_nodes nodes;
	struct fake_root fake;

	(void)state;
	fake_root_init(&fake);
	fake_root_write(&fake, NODES "possible", "0-10\n");
	fake_root_write(&fake, NODES "node10/cpu3/online", "1\n");
	fake_root_write(&fake, NODES "node10/cpu12/online", "1\n");
	fake_root_write(&fake, NODES "node10/cpulist", "3,12\n");
	fake_root_write(&fake, NODES "node2/meminfo", "\n"); /* memory alone */
	fake_root_write(&fake, NODES "node0/cpu0/online", "1\n");
	fake_root_write(&fake, NODES "node0/cpu999999/online", "1\n");
	fake_root_write(&fake, NODES "node70000/cpu1/online", "1\n");
	fake_root_write(&fake, NODES "node/cpu1/online", "1\n");
	fake_root_write(&fake, NODES "nodes7/cpu1/online", "1\n");
	assert_int_equal(numa_nodes_read(&fake.root, &nodes), 0);
	assert_int_equal(nodes.count, 3);
	assert_int_equal(nodes.nodes[0].number, 0);
	assert_int_equal(CPU_COUNT(&nodes.nodes[0].cpus), 1);
	assert_true(CPU_ISSET(0, &nodes.nodes[0].cpus));
	assert_int_equal(nodes.nodes[1].number, 2);
	assert_int_equal(CPU_COUNT(&nodes.nodes[1].cpus), 0);
	assert_int_equal(nodes.nodes[2].number, 10);
	assert_int_equal(CPU_COUNT(&nodes.nodes[2].cpus), 2);
	assert_true(CPU_ISSET(3, &nodes.nodes[2].cpus) && CPU_ISSET(12, &nodes.nodes[2].cpus));
	numa_nodes_done(&nodes);
	assert_null(nodes.nodes);
	fake_root_done(&fake);
}

/* Every third page is there. */
static void pages_lay_out(uint8_t *memory, uint64_t *ret_addresses)
{
	for (size_t i = 0; i < PAGES; i++) {
		ret_addresses[i] = (uint64_t)(uintptr_t)memory + i * NUMA_PAGE_BYTES;
		if (i % 3 == 0)
			memory[i * NUMA_PAGE_BYTES] = 1;
	}
}

static bool is_a_node(const struct numa_nodes *nodes, unsigned number)
{
	for (size_t i = 0; i < nodes->count; i++)
		if (nodes->nodes[i].number == number)
			return true;
	return false;
}

static void test_pages_are_on_a_node_or_not_there(void **state)
{
	uint8_t *memory = mmap(NULL, PAGES * NUMA_PAGE_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t addresses[PAGES];
	uint16_t on[PAGES];
	struct numa_nodes nodes;
	struct host_root root;
	int error;

	(void)state;
	assert_ptr_not_equal(memory, MAP_FAILED);
	assert_int_equal(madvise(memory, PAGES * NUMA_PAGE_BYTES, MADV_NOHUGEPAGE), 0);
	pages_lay_out(memory, addresses);
	assert_int_equal(host_root_open("", &root), 0);
	assert_int_equal(numa_nodes_read(&root, &nodes), 0);
	error = numa_page_nodes(getpid(), addresses, PAGES, on);
	if (error == -ENOSYS) {
		print_message("SKIP: no NUMA in this kernel\n");
		skip();
	}
	assert_int_equal(error, 0);
	for (size_t i = 0; i < PAGES; i++)
		if (i % 3)
			assert_int_equal(on[i], NUMA_NO_NODE);
		else
			assert_true(is_a_node(&nodes, on[i]));
	numa_nodes_done(&nodes);
	host_root_done(&root);
	(void)munmap(memory, PAGES * NUMA_PAGE_BYTES);
}

static void nothing_do(void *argument, char step)
{
	(void)argument;
	(void)step;
}

static void test_pages_of_nobody_are_refused(void **state)
{
	const uint64_t address = NUMA_PAGE_BYTES;
	struct child child;
	uint16_t on;
	int error;

	(void)state;
	child_start(&child, nothing_do, NULL);
	child_stop(&child);
	error = numa_page_nodes(child.pid, &address, 1, &on);
	assert_true(error == -ESRCH || error == -ENOSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_numa_is_no_nodes),
		cmocka_unit_test(test_nodes_have_numbers_and_cpus),
		cmocka_unit_test(test_pages_are_on_a_node_or_not_there),
		cmocka_unit_test(test_pages_of_nobody_are_refused),
	};

	return cmocka_run_group_tests_name("numa", tests, NULL, NULL);
}
