// SPDX-License-Identifier: GPL-2.0-or-later
/* The stream of events: clients that read, that stall, that leave, and too many of them. */
#include "tests/unit/api_world.h"

#include "daemon/api_events.h"

#define LONG_NAME 60000

static int open_stream(struct world *world)
{
	static const char text[] = "GET /v1/events HTTP/1.1\r\nHost: a\r\n\r\n";
	const int fd = connect_to(world);

	say(world, fd, text, strlen(text));
	return fd;
}

/* Reads until the text has come. */
static void hear_text(struct world *world, int fd, const char *text)
{
	const uint64_t start = clock_monotonic_ns();
	size_t length = 0;

	world->answer[0] = '\0';
	while (!strstr(world->answer, text)) {
		const ssize_t got =
			recv(fd, world->answer + length, sizeof(world->answer) - 1 - length, 0);

		assert_true(got > 0 || (got < 0 && errno == EAGAIN));
		if (got > 0)
			length += (size_t)got;
		world->answer[length] = '\0';
		assert_true(clock_monotonic_ns() - start < ANSWER_NS);
		assert_true(sd_event_run(world->event, 1000) >= 0);
	}
}

/* Takes the snapshot. */
static void publish(struct world *world, struct snapshot *snapshot)
{
	snapshot_unref(world->backend.snapshot);
	world->backend.snapshot = snapshot;
	api_news(world->api);
}

/* One more event of some 60 KiB. */
static void publish_long(struct world *world)
{
	struct snapshot *snapshot = make_snapshot(1);
	static unsigned number;

	assert_true(asprintf(&snapshot->active_group, "%0*u", LONG_NAME, number++) == LONG_NAME);
	publish(world, snapshot);
}

static void run_until_idle(struct world *world)
{
	while (sd_event_run(world->event, 10 * 1000) > 0)
		;
}

static void assert_serves(struct world *world)
{
	request(world, "GET", "/v1/status", "");
	assert_int_equal(world->status, 200);
}

static void test_a_stream_begins_at_once_and_tells_what_happens(void **state)
{
	struct world *world = *state;
	_cleanup_close_ int fd = open_stream(world);

	hear_text(world, fd, "\"event\":\"start\"");
	assert_non_null(strstr(world->answer, "Content-Type: application/x-ndjson\r\n"));
	publish(world, make_snapshot(2));
	hear_text(world, fd, "\"event\":\"pass\"");
	assert_non_null(strstr(world->answer, "\"number\":2"));
	assert_non_null(strstr(world->answer, "\"sequence\":1"));
	api_news(world->api); /* nothing new */
	publish(world, make_snapshot(3));
	hear_text(world, fd, "\"event\":\"pass\"");
	assert_non_null(strstr(world->answer, "\"sequence\":2"));
	assert_serves(world);
}

static void test_two_readers_hear_the_same(void **state)
{
	struct world *world = *state;
	_cleanup_close_ int one = open_stream(world), other = open_stream(world);

	hear_text(world, one, "\"start\"");
	hear_text(world, other, "\"start\"");
	publish(world, make_snapshot(2));
	hear_text(world, one, "\"number\":2");
	hear_text(world, other, "\"number\":2");
}

static void test_head_of_the_events_ends(void **state)
{
	struct world *world = *state;

	request(world, "HEAD", "/v1/events", "");
	assert_int_equal(world->status, 200);
	assert_serves(world);
}

static void test_a_reader_that_stalls_loses_events_and_is_told_so(void **state)
{
	struct world *world = *state;
	_cleanup_close_ int stalled = open_stream(world), reader = open_stream(world);

	hear_text(world, stalled, "\"start\"");
	hear_text(world, reader, "\"start\"");
	for (unsigned i = 0; i < 40; i++) {
		publish_long(world);
		hear_text(world, reader, "active-group");
		assert_null(strstr(world->answer, "\"lost\""));
	}
	assert_serves(world);
	/* What stands in the socket comes first. */
	for (const uint64_t start = clock_monotonic_ns();;) {
		ssize_t got = recv(stalled, world->answer, sizeof(world->answer) - 1, 0);

		if (got > 0)
			world->answer[got] = '\0';
		assert_true(got > 0 || (got < 0 && errno == EAGAIN));
		if (got > 0 && strstr(world->answer, "\"event\":\"lost\""))
			break;
		assert_true(clock_monotonic_ns() - start < ANSWER_NS);
		assert_true(sd_event_run(world->event, 1000) >= 0);
	}
}

static void test_who_leaves_makes_room(void **state)
{
	struct world *world = *state;

	for (unsigned round = 0; round < 3 * API_STREAMS_MOST; round++) {
		int fd = open_stream(world);

		hear_text(world, fd, "\"start\"");
		close_fd(fd);
		run_until_idle(world);
	}
	assert_serves(world);
}

static void test_there_is_room_for_so_many_readers(void **state)
{
	struct world *world = *state;
	int fds[API_STREAMS_MOST];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = open_stream(world);
		hear_text(world, fds[i], "\"start\"");
	}
	request(world, "GET", "/v1/events", "");
	assert_error(world, 503);
	assert_serves(world);
	close_fd(fds[0]);
	run_until_idle(world);
	fds[0] = open_stream(world);
	hear_text(world, fds[0], "\"start\"");
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close_fd(fds[i]);
}

static void test_who_says_more_after_the_request_is_not_heard(void **state)
{
	struct world *world = *state;
	_cleanup_close_ int fd = open_stream(world);

	hear_text(world, fd, "\"start\"");
	for (unsigned i = 0; i < 1000; i++)
		(void)send(fd, "GET /v1/status HTTP/1.1\r\n\r\n", 27, MSG_NOSIGNAL);
	publish(world, make_snapshot(2));
	hear_text(world, fd, "\"number\":2");
	assert_serves(world);
}

/* Its end is a whole answer, and tear_down() finds nothing left of it. */
static void test_streams_end_with_the_daemon(void **state)
{
	struct world *world = *state;
	_cleanup_close_ int asleep = open_stream(world), stalled = open_stream(world);
	ssize_t got, last = 0;

	hear_text(world, asleep, "\"start\"");
	hear_text(world, stalled, "\"start\"");
	for (unsigned i = 0; i < 20; i++) {
		publish_long(world);
		hear_text(world, asleep, "active-group");
	}
	api_stop(world->api);
	world->api = NULL;
	while ((got = recv(asleep, world->answer, sizeof(world->answer) - 1, 0)) > 0)
		last = got;
	assert_true(got == 0 && last >= 5);
	assert_memory_equal(world->answer + last - 5, "0\r\n\r\n", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(test_a_stream_begins_at_once_and_tells_what_happens),
		WITH_API(test_two_readers_hear_the_same),
		WITH_API(test_head_of_the_events_ends),
		WITH_API(test_a_reader_that_stalls_loses_events_and_is_told_so),
		WITH_API(test_who_leaves_makes_room),
		WITH_API(test_there_is_room_for_so_many_readers),
		WITH_API(test_who_says_more_after_the_request_is_not_heard),
		WITH_API(test_streams_end_with_the_daemon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
