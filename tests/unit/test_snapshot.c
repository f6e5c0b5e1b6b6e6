// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/snapshot.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/cleanup.h"

#define THREADS 4
#define ROUNDS  20000

static void test_snapshot_new_one_has_measured_nothing(void **state)
{
	struct snapshot *snapshot = snapshot_new();

	(void)state;
	assert_non_null(snapshot);
	assert_int_equal(snapshot->references, 1);
	assert_string_equal(snapshot->ksm_driver, "none");
	assert_int_equal(snapshot->pass_number, 0);
	assert_int_equal(snapshot->reclaimed_bytes, NOT_MEASURED);
	assert_int_equal(snapshot->net_bytes, NOT_MEASURED);
	assert_int_equal(snapshot->metadata_bytes, NOT_MEASURED);
	assert_int_equal(snapshot->exposure_bytes, NOT_MEASURED);
	assert_int_equal(snapshot->cow_breaks, NOT_MEASURED);
	assert_int_equal(snapshot->pages_scanned, NOT_MEASURED);
	assert_true(snapshot->scan_cpu_seconds < 0);
	assert_true(snapshot->stall_seconds_estimate < 0);
	assert_null(snapshot_unref(snapshot));
}

static void test_snapshot_new_vm_has_measured_nothing(void **state)
{
	struct snapshot_vm vm;

	(void)state;
	memset(&vm, 0xff, sizeof(vm));
	snapshot_vm_init(&vm);
	assert_null(vm.name);
	assert_null(vm.uuid);
	assert_null(vm.reason);
	assert_null(vm.extents);
	assert_string_equal(vm.group, "default");
	assert_int_equal(vm.ram_bytes, NOT_MEASURED);
	assert_int_equal(vm.reclaimed_bytes, NOT_MEASURED);
	assert_int_equal(vm.hugepages_lost, NOT_MEASURED);
	assert_true(vm.cpu_seconds < 0);
}

static void test_snapshot_states_have_the_names_of_the_contract(void **state)
{
	static const char *const names[] = { "observed", "waiting", "folding", "folded", "released",
		"blocked", "ineligible", "off" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(vm_state_name((enum vm_state)i), names[i]);
}

static char **strings(const char *only)
{
	char **copy = calloc(2, sizeof(char *));

	assert_non_null(copy);
	copy[0] = strdup(only);
	return copy;
}

/* Everything that it owns, for the sanitizer to look whether it is freed. */
static struct snapshot *snapshot_full(void)
{
	struct snapshot *snapshot = snapshot_new();
	struct snapshot_vm *vm;

	assert_non_null(snapshot);
	snapshot->kernel = strdup("6.18");
	snapshot->active_group = strdup("web");
	snapshot->features = strings("ring");
	snapshot->blocked_by = strings("somebody");
	snapshot->warnings = strings("beware");
	snapshot->vms = calloc(1, sizeof(*snapshot->vms));
	assert_non_null(snapshot->vms);
	snapshot->vm_count = 1;
	vm = &snapshot->vms[0];
	snapshot_vm_init(vm);
	vm->name = strdup("web1");
	vm->uuid = strdup("u");
	vm->reason = strdup("r");
	vm->policy_source = strdup("p");
	vm->extents = calloc(3, sizeof(*vm->extents));
	snapshot->plan.entries = calloc(1, sizeof(*snapshot->plan.entries));
	assert_non_null(snapshot->plan.entries);
	snapshot->plan.count = 1;
	snapshot->plan.vm_names = strings("web1");
	snapshot->plan.vm_count = 1;
	return snapshot;
}

static void test_snapshot_is_freed_with_its_last_reference(void **state)
{
	struct snapshot *snapshot = snapshot_full();

	(void)state;
	assert_ptr_equal(snapshot_ref(snapshot), snapshot);
	assert_null(snapshot_unref(snapshot));
	assert_string_equal(snapshot->vms[0].name, "web1");
	assert_null(snapshot_unref(snapshot));
	assert_null(snapshot_unref(NULL));
}

static void *ref_and_unref(void *arg)
{
	for (int i = 0; i < ROUNDS; i++)
		(void)snapshot_unref(snapshot_ref(arg));
	return NULL;
}

static void test_snapshot_is_shared_between_threads(void **state)
{
	struct snapshot *snapshot = snapshot_full();
	pthread_t threads[THREADS];

	(void)state;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, snapshot), 0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(snapshot->references, 1);
	(void)snapshot_unref(snapshot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_snapshot_new_one_has_measured_nothing),
		cmocka_unit_test(test_snapshot_new_vm_has_measured_nothing),
		cmocka_unit_test(test_snapshot_states_have_the_names_of_the_contract),
		cmocka_unit_test(test_snapshot_is_freed_with_its_last_reference),
		cmocka_unit_test(test_snapshot_is_shared_between_threads),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
