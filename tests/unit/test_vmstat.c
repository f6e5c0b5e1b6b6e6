// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/vmstat.h"

#include <errno.h>

#include "tests/unit/fake_root.h"

static void test_cow_ksm_is_found_among_the_others(void **state)
{
	static const struct {
		const char *text;
		int error;
		uint64_t value;
	} cases[] = {
		{ "cow_ksm 7\n", 0, 7 },
		{ "nr_free 3\nksm_swpin_copy 9\ncow_ksm 18446744073709551615\nzswpin 0\n", 0, UINT64_MAX },
		{ "xcow_ksm 5\ncow_ksm 6", 0, 6 },
		{ "", -ENOENT, 0 },
		{ "nr_free 3\ncow_ksmx 5\n", -ENOENT, 0 },
		{ "cow_ksm \n", -EINVAL, 0 },
		{ "cow_ksm -1\n", -EINVAL, 0 },
		{ "cow_ksm 1x\n", -EINVAL, 0 },
		{ "cow_ksm 18446744073709551616\n", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		uint64_t value = 4711;

		assert_int_equal(vmstat_cow_ksm_parse(cases[i].text, &value), cases[i].error);
		assert_true(value == (cases[i].error ? 4711 : cases[i].value));
	}
}

static void test_kernel_without_vmstat_cannot_say(void **state)
{
	struct fake_root fake;
	uint64_t value;

	(void)state;
	fake_root_init(&fake);
	assert_int_equal(vmstat_cow_ksm_read(&fake.root, &value), -ENOENT);
	fake_root_write(&fake, "/proc/vmstat", "cow_ksm 12\n");
	assert_int_equal(vmstat_cow_ksm_read(&fake.root, &value), 0);
	assert_int_equal(value, 12);
	fake_root_done(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cow_ksm_is_found_among_the_others),
		cmocka_unit_test(test_kernel_without_vmstat_cannot_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
