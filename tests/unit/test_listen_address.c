// SPDX-License-Identifier: GPL-2.0-or-later
/* metrics-listen: what is an address of loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "common/cleanup.h"
#include "daemon/listen_address.h"

static void test_addresses_are_read_as_they_are_written(void **state)
{
	static const char *const texts[] = { "127.0.0.1:9743", "127.0.0.1:0", "127.255.0.9:65535",
		"[::1]:1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char text[LISTEN_ADDRESS_BYTES];
		struct listen_address address;

		assert_int_equal(listen_address_parse(texts[i], &address), 0);
		listen_address_text(&address, text);
		assert_string_equal(text, texts[i]);
	}
}

static void test_addresses_that_others_reach_are_refused(void **state)
{
	static const char *const texts[] = { "0.0.0.0:9743", "192.0.2.1:9743", "[::]:9743",
		"[2001:db8::1]:9743", "128.0.0.1:9743", "126.255.255.255:1",
		/* Would listen on IPv4's loopback, and on what else is mapped there. */
		"[::ffff:127.0.0.1]:9743" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct listen_address address = { .length = 4711 };

		assert_int_equal(listen_address_parse(texts[i], &address), -EACCES);
		assert_int_equal(address.length, 4711);
	}
}

static void test_what_is_no_address_is_refused(void **state)
{
	static const char *const texts[] = { "", ":", ":9743", "127.0.0.1",
		"127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1: 1", "127.0.0.1:http",
		"127.1:9743", "localhost:9743", "::1:9743", "[::1]", "[::1]:", "[]:9743", "[:9743",
		"]:9743", "[127.0.0.1]:9743", "[::1%lo]:9743", "127.0.0.1:99999999999999999999",
		"[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]:1" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct listen_address address;

		if (listen_address_parse(texts[i], &address) != -EINVAL)
			fail_msg("%s", texts[i]);
	}
}

static void test_a_port_of_the_kernels_choice_is_told_and_then_taken(void **state)
{
	struct listen_address any, bound, again;
	_cleanup_close_ int fd = -1;

	(void)state;
	assert_int_equal(listen_address_parse("127.0.0.1:0", &any), 0);
	fd = listen_address_open(&any, &bound);
	assert_true(fd >= 0);
	assert_int_not_equal(bound.socket.v4.sin_port, 0);
	assert_false(listen_address_same(&any, &bound));
	assert_int_equal(listen_address_open(&bound, &again), -EADDRINUSE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses_are_read_as_they_are_written),
		cmocka_unit_test(test_addresses_that_others_reach_are_refused),
		cmocka_unit_test(test_what_is_no_address_is_refused),
		cmocka_unit_test(test_a_port_of_the_kernels_choice_is_told_and_then_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
