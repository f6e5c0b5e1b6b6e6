// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/host_pressure.h"

#include <errno.h>

#include "tests/unit/fake_root.h"

static void test_host_pressure_of_the_last_ten_seconds(void **state)
{
	static const struct {
		const char *text;
		int hundredths;
	} cases[] = {
		{ "some avg10=0.00 avg60=1.00 avg300=2.00 total=3\nfull avg10=9.99 avg60=0.00\n",
			0 },
		{ "some avg10=12.34 avg60=0.00 avg300=0.00 total=0\n", 1234 },
		{ "some avg10=5.07 ", 507 },
		{ "some avg10=100.00 ", 10000 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		double percent;

		assert_int_equal(host_pressure_parse(cases[i].text, &percent), 0);
		assert_int_equal((int)(percent * 100 + 0.5), cases[i].hundredths);
	}
}

static void test_host_pressure_hostile_text_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"some",
		"some avg10=",
		"some avg10=1",
		"some avg10=1.",
		"some avg10=1.2",
		"some avg10=1.234",
		"some avg10=-1.00",
		"some avg10=1.-2",
		"some avg10= 1.00",
		"some avg10=101.00",
		"some avg10=99999999999999999999.00",
		"full avg10=1.00",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		double percent = 77;

		assert_int_equal(host_pressure_parse(texts[i], &percent), -EINVAL);
		assert_true(percent > 76 && percent < 78);
	}
}

static void test_host_pressure_is_missing_on_some_kernels(void **state)
{
	struct fake_root fake;
	struct host_root root;
	double percent;

	(void)state;
	fake_root_init(&fake);
	assert_int_equal(host_root_open(fake.path, &root), 0);
	assert_int_equal(host_pressure_read(&root, &percent), -ENOENT);
	host_root_done(&root);
	fake_root_done(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host_pressure_of_the_last_ten_seconds),
		cmocka_unit_test(test_host_pressure_hostile_text_is_refused),
		cmocka_unit_test(test_host_pressure_is_missing_on_some_kernels),
	};

	return cmocka_run_group_tests_name("host_pressure", tests, NULL, NULL);
}
