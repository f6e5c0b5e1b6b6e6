// SPDX-License-Identifier: GPL-2.0-or-later
/* Policies and commands. */
#include "tests/unit/api_world.h"

static void test_put_lays_keys_over_the_policy(void **state)
{
	struct world *world = *state;

	require_root();
	request(world, "PUT", "/v1/vms/web1/policy", "{\"mode\":\"merge\"}");
	assert_int_equal(world->status, 200);
	assert_non_null(strstr(world->body, "00-set.conf"));
	assert_int_equal(world->backend.policy_pid, 101);
	assert_int_equal(world->backend.policy.mode, MODE_MERGE);
	assert_string_equal(world->backend.policy.group, "default");
}

static void test_two_puts_before_a_pass_add_up(void **state)
{
	struct world *world = *state;

	require_root();
	request(world, "PUT", "/v1/vms/web1/policy", "{\"mode\":\"merge\"}");
	/* A pass that was under way ends: it does not know of the change yet. */
	world->backend.snapshot->pass_number++;
	request(world, "PUT", "/v1/vms/web1/policy", "{\"group\":\"web\"}");
	assert_int_equal(world->backend.policy.mode, MODE_MERGE);
	assert_string_equal(world->backend.policy.group, "web");
	request(world, "GET", "/v1/vms/web1/policy", "");
	assert_non_null(strstr(world->body, "\"mode\":\"merge\""));
	/* Then snapshots are right, whatever they say. */
	world->backend.snapshot->pass_number += 2;
	request(world, "GET", "/v1/vms/web1/policy", "");
	assert_non_null(strstr(world->body, "\"mode\":\"observe\""));
}

static void test_a_policy_that_cannot_be_kept_is_409(void **state)
{
	struct world *world = *state;

	require_root();
	world->backend.set_policy_result = -ENOSPC;
	request(world, "PUT", "/v1/vms/web1/policy", "{\"mode\":\"merge\"}");
	assert_error(world, 409);
	assert_non_null(strstr(world->body, "The disk is full."));
}

static void test_bad_policies_are_400(void **state)
{
	static const char *const bodies[] = { "", "{", "[]", "{}", "null", "\"merge\"",
		"{\"mode\":1}", "{\"mode\":null}", "{\"mode\":[\"merge\"]}", "{\"mode\":\"\"}",
		"{\"mode\":\"Merge\"}", "{\"mood\":\"merge\"}",
		"{\"mode\":\"merge\",\"mode\":\"off\"}", "{\"mode\":\"merge\"}x",
		"{\"group\":\"auto\"}", "{\"group\":\"\"}", "{\"group\":\"a b\"}",
		"{\"group\":\"a\\nmode=merge\"}", "{\"group\":\"a\\u0000\"}", "{\"hook\":\"qmp2\"}",
		"{\"hugepages\":\"none\"}", "{\"mode\":\"merge\",\"hook\":\"x\"}",
		"{\"\xff\":\"x\"}", "{\"schema\":1}" };
	struct world *world = *state;

	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		request(world, "PUT", "/v1/vms/web1/policy", bodies[i]);
		assert_error(world, 400);
	}
	assert_int_equal(world->backend.policies_set, 0);
}

static void test_json_nested_deeply_is_400(void **state)
{
	char body[4000];
	struct world *world = *state;

	require_root();
	memset(body, '[', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	request(world, "PUT", "/v1/vms/web1/policy", body);
	assert_error(world, 400);
}

static void test_commands_reach_the_backend(void **state)
{
	static const struct {
		const char *path;
		struct api_request request;
	} cases[] = {
		{ "/v1/pause", { .command = API_PAUSE } },
		{ "/v1/resume", { .command = API_RESUME } },
		{ "/v1/release", { .command = API_RELEASE, .all = true } },
		{ "/v1/release?force=1", { .command = API_RELEASE, .all = true, .force = true } },
		{ "/v1/vms/web1/release", { .command = API_RELEASE, .pid = 101 } },
		{ "/v1/vms/pid:104/release?force=1",
			{ .command = API_RELEASE, .pid = 104, .force = true } },
		{ "/v1/vms/web1/release?force=0", { .command = API_RELEASE, .pid = 101 } },
	};
	struct world *world = *state;

	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		request(world, "POST", cases[i].path, "");
		assert_int_equal(world->status, 200);
		assert_non_null(strstr(world->body, "\"message\":\"Done.\""));
		assert_int_equal(world->backend.request.command, cases[i].request.command);
		assert_int_equal(world->backend.request.all, cases[i].request.all);
		assert_int_equal(world->backend.request.pid, cases[i].request.pid);
		assert_int_equal(world->backend.request.force, cases[i].request.force);
	}
}

static void test_queries_that_are_not_understood_are_400(void **state)
{
	static const char *const paths[] = { "/v1/release?force=yes", "/v1/release?force",
		"/v1/release?Force=1", "/v1/release?force=1&x=2", "/v1/release?x",
		"/v1/release?%66orce=1", "/v1/release?force=%31" };
	struct world *world = *state;

	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		request(world, "POST", paths[i], "");
		assert_error(world, 400);
	}
	assert_int_equal(world->backend.submitted, 0);
}

static void test_outcomes_become_status_codes(void **state)
{
	static const struct {
		int error, status;
	} cases[] = {
		{ -ESRCH, 404 },
		{ -ENOENT, 404 },
		{ -EINVAL, 400 },
		{ -EBUSY, 503 },
		{ -EAGAIN, 503 },
		{ -ENOMEM, 409 },
		{ -EPERM, 409 },
	};
	struct world *world = *state;

	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_close_ int fd = connect_to(world);

		world->backend.hold = true;
		begin_request(world, fd, "POST", "/v1/release", "");
		while (!world->backend.token)
			assert_true(sd_event_run(world->event, 1000) >= 0);
		world->backend.done(world->backend.token,
			(struct api_outcome){
				.error = cases[i].error,
				.message = i % 2 ? NULL : strdup("It would need 12 MiB."),
			});
		world->backend.token = NULL;
		hear(world, fd);
		assert_error(world, cases[i].status);
	}
}

static void test_a_full_queue_is_503(void **state)
{
	struct world *world = *state;

	require_root();
	world->backend.refuse = -EBUSY;
	request(world, "POST", "/v1/pause", "");
	assert_error(world, 503);
}

static void test_others_are_answered_while_one_waits(void **state)
{
	struct world *world = *state;
	_cleanup_close_ int fd = connect_to(world);

	require_root();
	world->backend.hold = true;
	begin_request(world, fd, "POST", "/v1/release", "");
	request(world, "GET", "/v1/status", "");
	assert_int_equal(world->status, 200);
	assert_non_null(world->backend.token);
	world->backend.done(world->backend.token, (struct api_outcome){ 0 });
	hear(world, fd);
	assert_int_equal(world->status, 200);
	assert_non_null(strstr(world->body, "\"message\":null"));
}

static void test_a_client_that_leaves_while_it_waits_does_no_harm(void **state)
{
	struct world *world = *state;
	int fd = connect_to(world);

	require_root();
	world->backend.hold = true;
	begin_request(world, fd, "POST", "/v1/release", "");
	while (!world->backend.token)
		assert_true(sd_event_run(world->event, 1000) >= 0);
	close_fd(fd);
	world->backend.done(world->backend.token, (struct api_outcome){ .message = strdup("x") });
	request(world, "GET", "/v1/status", "");
	assert_int_equal(world->status, 200);
}

static void test_who_waits_is_told_that_the_daemon_stops(void **state)
{
	struct world *world = *state;
	_cleanup_close_ int fd = connect_to(world);

	require_root();
	world->backend.hold = true;
	begin_request(world, fd, "POST", "/v1/release", "");
	while (!world->backend.token)
		assert_true(sd_event_run(world->event, 1000) >= 0);
	api_stop(world->api);
	world->api = NULL;
	hear(world, fd);
	assert_error(world, 503);
	/* The backend's promise outlives the API. */
	world->backend.done(world->backend.token, (struct api_outcome){ .message = strdup("x") });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(test_put_lays_keys_over_the_policy),
		WITH_API(test_two_puts_before_a_pass_add_up),
		WITH_API(test_a_policy_that_cannot_be_kept_is_409),
		WITH_API(test_bad_policies_are_400),
		WITH_API(test_json_nested_deeply_is_400),
		WITH_API(test_commands_reach_the_backend),
		WITH_API(test_queries_that_are_not_understood_are_400),
		WITH_API(test_outcomes_become_status_codes),
		WITH_API(test_a_full_queue_is_503),
		WITH_API(test_others_are_answered_while_one_waits),
		WITH_API(test_a_client_that_leaves_while_it_waits_does_no_harm),
		WITH_API(test_who_waits_is_told_that_the_daemon_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
