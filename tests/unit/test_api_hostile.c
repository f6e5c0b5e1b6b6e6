// SPDX-License-Identifier: GPL-2.0-or-later
/* Requests that are wrong, too much or never end. */
#include "tests/unit/api_world.h"

static void hear_nothing(struct world *world)
{
	while (sd_event_run(world->event, 10 * 1000) > 0)
		;
}

/* Whatever comes, the next client is served. status -1: refused, or still waited for
 * when the client hangs up. */
static void test_hostile_requests_are_refused(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{ "GET /v1/vms/% HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400 },
		{ "GET /v1/vms/%4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400 },
		{ "GET /v1/vms/%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400 },
		{ "GET /v1/vms/web1%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400 },
		{ "GET v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400 },
		{ "GET http://x/v1/status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400 },
		{ "GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n", 400 },
		{ "GET /v1/status HTTP/0.9\r\n\r\n", 505 },
		{ "GET\r\n\r\n", -1 },
		{ "\r\n\r\n\r\n", -1 },
		{ "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", -1 },
		{ "PUT /v1/vms/web1/policy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		  "Content-Length: 99999999999999999999999\r\n\r\n",
			-1 },
		{ "PUT /v1/vms/web1/policy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		  "Content-Length: -1\r\n\r\n",
			-1 },
		{ "PUT /v1/vms/web1/policy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		  "Content-Length: 5000000\r\n\r\n{",
			413 },
		{ "PUT /v1/vms/web1/policy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		  "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
			-1 },
	};
	struct world *world = *state;

	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_close_ int fd = connect_to(world);

		say(world, fd, cases[i].text, strlen(cases[i].text));
		if (cases[i].status < 0) {
			hear_so_far(world, fd);
			assert_true(world->status == 0 || world->status >= 400);
			continue;
		}
		hear(world, fd);
		if (world->status != cases[i].status)
			print_message("case %zu: %s", i, world->answer);
		assert_int_equal(world->status, cases[i].status);
	}
	assert_int_equal(world->backend.policies_set, 0);
	request(world, "GET", "/v1/status", "");
	assert_int_equal(world->status, 200);
}

/* More is said than was asked for: one answer that is whole, or a refusal, and the next client is served. */
static void test_odd_requests_for_streams_and_documents(void **state)
{
	static const char *const cases[] = {
		"GET /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n{",
		"GET /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n{",
		"GET /v1/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz",
		"GET /v1/events HTTP/1.0\r\n\r\n",
		"GET /v1/events?from=0 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /v1/events HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/events HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD /v1/events HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/events HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /v1/events HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD /v1/matrix HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /v1/matrix HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/matrix HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /v1/matrix?force=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
		"PUT /v1/matrix HTTP/1.1\r\nHost: a\r\n\r\n",
	};
	struct world *world = *state;

	for (size_t round = 0; round < 30; round++)
		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			_cleanup_close_ int fd = connect_to(world);

			say(world, fd, cases[i], strlen(cases[i]));
			for (int run = 0; run < 4; run++)
				assert_true(sd_event_run(world->event, 0) >= 0);
			api_news(world->api);
		}
	hear_nothing(world);
	request(world, "GET", "/v1/matrix", "");
	assert_int_equal(world->status, 200);
}

/* The answer is there when nobody is any more. */
static void test_who_asks_for_the_matrix_may_hang_up(void **state)
{
	struct world *world = *state;
	const int fd = connect_to(world);

	world->backend.hold = true;
	begin_request(world, fd, "GET", "/v1/matrix", "");
	for (int run = 0; run < 10; run++)
		assert_true(sd_event_run(world->event, 1000) >= 0);
	assert_int_equal(world->backend.submitted, 1);
	close_fd(fd);
	for (int run = 0; run < 10; run++)
		assert_true(sd_event_run(world->event, 1000) >= 0);
	world->backend.done(world->backend.token, (struct api_outcome){ .document = fake_matrix() });
	hear_nothing(world);
	world->backend.hold = false;
	request(world, "GET", "/v1/matrix", "");
	assert_int_equal(world->status, 200);
}

/* And one that waits when the daemon stops is let go of. */
static void test_the_matrix_may_be_made_for_an_api_that_has_stopped(void **state)
{
	struct world *world = *state;
	_cleanup_close_ int fd = connect_to(world);

	world->backend.hold = true;
	begin_request(world, fd, "GET", "/v1/matrix", "");
	for (int run = 0; run < 10; run++)
		assert_true(sd_event_run(world->event, 1000) >= 0);
	api_stop(world->api);
	world->api = NULL;
	world->backend.done(world->backend.token, (struct api_outcome){ .document = fake_matrix() });
}

static void test_a_long_url_is_refused(void **state)
{
	static const size_t lengths[] = { 200, 300, 4000, 15000, 20000, 100000 };
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		_cleanup_free_ char *name = calloc(1, lengths[i] + 1);
		_cleanup_free_ char *path = NULL;

		assert_non_null(name);
		memset(name, 'a', lengths[i]);
		assert_true(asprintf(&path, "/v1/vms/%s", name) > 0);
		request(world, "GET", path, "");
		assert_true(world->status >= 400 || world->status == 0);
		assert_true(world->status < 500);
	}
}

static void test_a_chunked_body_that_never_ends_is_cut_off(void **state)
{
	static const char head[] = "PUT /v1/vms/web1/policy HTTP/1.1\r\nHost: a\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";
	struct world *world = *state;
	_cleanup_close_ int fd = connect_to(world);
	_cleanup_free_ char *chunk = NULL;
	char text[4096 + 16];

	require_root();
	chunk = calloc(1, 4097);
	assert_non_null(chunk);
	memset(chunk, 'x', 4096);
	(void)snprintf(text, sizeof(text), "1000\r\n%s\r\n", chunk);
	say(world, fd, head, strlen(head));
	for (int i = 0; i < 1000; i++)
		say(world, fd, text, strlen(text));
	hear(world, fd);
	assert_int_equal(world->backend.policies_set, 0);
	assert_true(world->status == 0 || world->status == 413);
}

static void test_a_chunked_body_that_is_too_long_is_413(void **state)
{
	char text[8192];
	struct world *world = *state;
	int length;

	require_root();
	length = snprintf(text, sizeof(text),
		"PUT /v1/vms/web1/policy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		"Transfer-Encoding: chunked\r\n\r\n1388\r\n%05000d\r\n0\r\n\r\n",
		0);
	exchange(world, text, (size_t)length);
	assert_error(world, 413);
}

static void test_half_a_request_holds_up_nobody(void **state)
{
	struct world *world = *state;
	int fds[40];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_to(world);
		say(world, fds[i], "GET /v1/sta", 11);
	}
	request(world, "GET", "/v1/status", "");
	assert_int_equal(world->status, 200);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
	request(world, "GET", "/v1/status", "");
	assert_int_equal(world->status, 200);
}

static void test_more_clients_than_there_is_room_for_are_turned_away(void **state)
{
	struct world *world = *state;
	int fds[80];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_to(world);
		assert_true(sd_event_run(world->event, 1000) >= 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
	request(world, "GET", "/v1/status", "");
	assert_int_equal(world->status, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(test_hostile_requests_are_refused),
		WITH_API(test_odd_requests_for_streams_and_documents),
		WITH_API(test_who_asks_for_the_matrix_may_hang_up),
		WITH_API(test_the_matrix_may_be_made_for_an_api_that_has_stopped),
		WITH_API(test_a_long_url_is_refused),
		WITH_API(test_a_chunked_body_that_never_ends_is_cut_off),
		WITH_API(test_a_chunked_body_that_is_too_long_is_413),
		WITH_API(test_half_a_request_holds_up_nobody),
		WITH_API(test_more_clients_than_there_is_room_for_are_turned_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
