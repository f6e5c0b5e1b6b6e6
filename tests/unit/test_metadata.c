// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metadata.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cleanup.h"

#define NAMESPACE "xmlns='urn:pagefold:domain:1'"

static int parse(const char *xml, struct policy *policy)
{
	char reason[METADATA_REASON_BYTES] = "";
	int r;

	policy_init(policy, MODE_OBSERVE);
	r = metadata_parse(xml, policy, reason);
	assert_int_equal(r == 0, reason[0] == '\0');
	return r;
}

static void test_metadata_attributes_are_the_policy(void **state)
{
	struct policy policy;

	(void)state;
	assert_int_equal(parse("<policy " NAMESPACE " mode='merge' group='web' hook='ring' "
			       "hugepages='fold'/>", &policy), 0);
	assert_int_equal(policy.mode, MODE_MERGE);
	assert_string_equal(policy.group, "web");
	assert_int_equal(policy.hook, HOOK_RING);
	assert_int_equal(policy.hugepages, HUGEPAGES_FOLD);
}

static void test_metadata_as_libvirt_returns_it_has_a_prefix(void **state)
{
	struct policy policy;

	(void)state;
	assert_int_equal(parse("<pagefold:policy xmlns:pagefold='urn:pagefold:domain:1' "
			       "mode='off'/>", &policy), 0);
	assert_int_equal(policy.mode, MODE_OFF);
}

static void test_metadata_that_says_nothing_changes_nothing(void **state)
{
	struct policy policy;

	(void)state;
	assert_int_equal(parse("<policy " NAMESPACE ">\n</policy>", &policy), 0);
	assert_int_equal(policy.mode, MODE_OBSERVE);
	assert_string_equal(policy.group, "default");
}

static void test_metadata_round_trip(void **state)
{
	struct policy policy, again;
	_cleanup_free_ char *xml = NULL;

	(void)state;
	assert_int_equal(parse("<policy mode='merge' group='a.b_c-1' hugepages='keep'/>", &policy), 0);
	xml = metadata_format(&policy);
	assert_non_null(xml);
	assert_int_equal(parse(xml, &again), 0);
	assert_int_equal(again.mode, policy.mode);
	assert_string_equal(again.group, policy.group);
	assert_int_equal(again.hook, policy.hook);
	assert_int_equal(again.hugepages, policy.hugepages);
}

static void test_metadata_is_refused_as_a_whole(void **state)
{
	static const char *const hostile[] = {
		"",
		"merge",
		"<policy",
		"<policy mode='merge' mode='off'/>",
		"<policy mode='merge' " NAMESPACE "><policy mode='off'/></policy>",
		"<policies " NAMESPACE " mode='merge'/>",
		"<policy xmlns='urn:other' mode='merge'/>",
		"<policy group='web' mode='Merge'/>",
		"<policy group='web' mode=''/>",
		"<policy group='web' mode='merge' speed='11'/>",
		"<policy mode='merge' group=''/>",
		"<policy mode='merge' group='auto'/>",
		"<policy mode='merge' group='a b'/>",
		"<policy mode='merge' group='../x'/>",
		"<policy xmlns:x='urn:x' x:mode='merge'/>",
		"<!DOCTYPE p [<!ENTITY a 'merge'>]><policy mode='merge' group='&b;'/>",
		"<!DOCTYPE p [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><policy mode='&x;'/>",
		"<policy mode='merge' group='\xff\xfe'/>",
		"<a><b><c/></b></a>",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		struct policy policy;

		if (parse(hostile[i], &policy) == 0)
			fail_msg("taken: %s", hostile[i]);
		assert_int_equal(policy.mode, MODE_OBSERVE);
		assert_string_equal(policy.group, "default");
	}
}

static void test_metadata_of_great_length_is_refused(void **state)
{
	_cleanup_free_ char *xml = malloc(1 << 20);
	struct policy policy;

	(void)state;
	memset(xml, ' ', (1 << 20) - 1);
	memcpy(xml, "<policy mode='merge'", 20);
	memcpy(xml + (1 << 20) - 3, "/>", 3);
	assert_int_equal(parse(xml, &policy), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_metadata_attributes_are_the_policy),
		cmocka_unit_test(test_metadata_as_libvirt_returns_it_has_a_prefix),
		cmocka_unit_test(test_metadata_that_says_nothing_changes_nothing),
		cmocka_unit_test(test_metadata_round_trip),
		cmocka_unit_test(test_metadata_is_refused_as_a_whole),
		cmocka_unit_test(test_metadata_of_great_length_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
