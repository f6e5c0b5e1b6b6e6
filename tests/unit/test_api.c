// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading, and the socket. */
#include "tests/unit/api_world.h"

#include <fcntl.h>

static void test_every_path_answers_with_json(void **state)
{
	static const char *const paths[] = { "/v1/status", "/v1/vms", "/v1/vms/web1", "/v1/plan",
		"/v1/matrix",
		"/v1/vms/web1/policy", "/v1/vms/pid:101",
		"/v1/vms/6F1C7F5E-0000-4000-8000-000000000001", "/v1/vms/a%2Fb%20c",
		"/v1/vms/%FF%1B[31mred" };
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		request(world, "GET", paths[i], "");
		assert_int_equal(world->status, 200);
		assert_non_null(strstr(world->answer, "Content-Type: application/json"));
		json_decref(answer_json(world));
	}
}

static void test_metrics_come_in_the_format_that_is_asked_for(void **state)
{
	static const char openmetrics[] =
		"GET /metrics HTTP/1.1\r\nHost: pagefold\r\nConnection: close\r\n"
		"Accept: application/openmetrics-text;version=1.0.0\r\n\r\n";
	struct world *world = *state;

	request(world, "GET", "/metrics", "");
	assert_int_equal(world->status, 200);
	assert_non_null(strstr(world->answer, "Content-Type: text/plain; version=0.0.4;"));
	assert_non_null(strstr(world->body, "\npagefold_passes_total 1\n"));
	assert_null(strstr(world->body, "# EOF"));
	exchange(world, openmetrics, strlen(openmetrics));
	assert_int_equal(world->status, 200);
	assert_non_null(strstr(
		world->answer, "Content-Type: application/openmetrics-text; version=1.0.0;"));
	assert_non_null(strstr(world->body, "\n# EOF\n"));
	request(world, "POST", "/metrics", "");
	assert_error(world, 405);
}

static void test_head_is_get_without_a_body(void **state)
{
	struct world *world = *state;

	request(world, "HEAD", "/v1/status", "");
	assert_int_equal(world->status, 200);
	assert_string_equal(world->body, "");
}

static void test_unknown_paths_are_404(void **state)
{
	static const char *const paths[] = { "/", "/v1", "/v1/", "/v1/status/", "/v1/vms/",
		"/v1//vms", "/v2/status", "/v1/vms/web1/", "/v1/vms/web1/policy/x",
		"/v1/vms/nobody", "/v1/vms/web1/x", "/v1/vms/pid:999", "/v1/vms/pid:0101",
		"/v1/vms/WEB1", "/v1/events/", "/metrics/", "/v1/../v1/status",
		"/v1/vms/%2e%2e", "/a/b/c/d/e/f/g" };
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		request(world, "GET", paths[i], "");
		assert_error(world, 404);
	}
}

static void test_a_name_of_two_vms_is_409_with_candidates(void **state)
{
	struct world *world = *state;
	json_t *json, *candidates;

	request(world, "GET", "/v1/vms/twin", "");
	assert_error(world, 409);
	json = answer_json(world);
	candidates = json_object_get(json, "candidates");
	assert_int_equal(json_array_size(candidates), 2);
	assert_int_equal(
		json_integer_value(json_object_get(json_array_get(candidates, 1), "pid")), 103);
	json_decref(json);
}

static void test_before_the_first_pass_no_vm_is_unknown(void **state)
{
	struct world *world = *state;

	world->backend.snapshot->pass_number = 0;
	request(world, "GET", "/v1/vms/nobody", "");
	assert_error(world, 503);
	request(world, "GET", "/v1/matrix", "");
	assert_error(world, 503);
}

static void test_methods_that_a_path_does_not_have_are_405(void **state)
{
	static const struct {
		const char *method, *path, *allow;
	} cases[] = {
		{ "POST", "/v1/status", "Allow: GET, HEAD\r\n" },
		{ "DELETE", "/v1/vms", "Allow: GET, HEAD\r\n" },
		{ "GET", "/v1/pause", "Allow: POST\r\n" },
		{ "POST", "/v1/vms/web1/policy", "Allow: GET, HEAD, PUT\r\n" },
		{ "OPTIONS", "/v1/vms/web1/release", "Allow: POST\r\n" },
		{ "get", "/v1/status", "Allow: GET, HEAD\r\n" },
	};
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		request(world, cases[i].method, cases[i].path, "");
		assert_error(world, 405);
		assert_non_null(strstr(world->answer, cases[i].allow));
	}
}

static void test_whoever_is_not_root_may_only_read(void **state)
{
	static const struct {
		const char *method, *path;
		int status;
	} cases[] = {
		{ "GET", "/v1/status", 200 },
		{ "GET", "/v1/vms/web1/policy", 200 },
		{ "PUT", "/v1/vms/web1/policy", 403 },
		{ "POST", "/v1/pause", 403 },
		{ "POST", "/v1/resume", 403 },
		{ "POST", "/v1/release", 403 },
		{ "POST", "/v1/vms/web1/release?force=1", 403 },
	};
	struct world *world = *state;

	require_root();
	assert_int_equal(chmod(world->directory, 0755), 0);
	assert_int_equal(chmod(world->socket, 0666), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_close_ int fd = -1;

		assert_int_equal(seteuid(65534), 0);
		fd = connect_to(world);
		assert_int_equal(seteuid(0), 0);
		begin_request(world, fd, cases[i].method, cases[i].path, "{\"mode\":\"off\"}");
		hear(world, fd);
		assert_int_equal(world->status, cases[i].status);
	}
	assert_int_equal(world->backend.submitted, 0);
	assert_int_equal(world->backend.policies_set, 0);
}

static void test_the_socket_is_closed_to_others(void **state)
{
	struct world *world = *state;
	struct stat status;

	assert_int_equal(stat(world->socket, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0660);
}

static void test_a_second_daemon_does_not_take_the_socket(void **state)
{
	struct world *world = *state;
	const struct api_backend backend = { .snapshot = fake_snapshot, .data = &world->backend };
	struct api *second = NULL;

	assert_int_equal(api_start(world->event, world->socket, &backend, &second), -EADDRINUSE);
	assert_null(second);
	request(world, "GET", "/v1/status", "");
	assert_int_equal(world->status, 200);
}

static void test_a_stale_socket_is_replaced_and_a_file_is_not(void **state)
{
	struct world *world = *state;
	const struct api_backend backend = { .snapshot = fake_snapshot, .data = &world->backend };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct api *other = NULL;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/old.sock", world->directory);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close_fd(fd);
	assert_int_equal(api_start(world->event, address.sun_path, &backend, &other), 0);
	api_stop(other);

	fd = open(address.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close_fd(fd);
	assert_int_equal(api_start(world->event, address.sun_path, &backend, &other), -EEXIST);
	assert_int_equal(unlink(address.sun_path), 0);
}

static void test_two_requests_on_one_connection_are_both_answered(void **state)
{
	static const char text[] = "GET /v1/plan HTTP/1.1\r\nHost: a\r\n\r\n"
				   "GET /v1/vms HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	struct world *world = *state;

	exchange(world, text, strlen(text));
	assert_non_null(strstr(world->answer, "\"entries\""));
	assert_non_null(strstr(world->answer, "\"vms\""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(test_every_path_answers_with_json),
		WITH_API(test_metrics_come_in_the_format_that_is_asked_for),
		WITH_API(test_head_is_get_without_a_body),
		WITH_API(test_unknown_paths_are_404),
		WITH_API(test_a_name_of_two_vms_is_409_with_candidates),
		WITH_API(test_before_the_first_pass_no_vm_is_unknown),
		WITH_API(test_methods_that_a_path_does_not_have_are_405),
		WITH_API(test_whoever_is_not_root_may_only_read),
		WITH_API(test_the_socket_is_closed_to_others),
		WITH_API(test_a_second_daemon_does_not_take_the_socket),
		WITH_API(test_a_stale_socket_is_replaced_and_a_file_is_not),
		WITH_API(test_two_requests_on_one_connection_are_both_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
