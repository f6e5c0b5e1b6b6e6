// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The API as its clients meet it: over its socket, in one thread, with a backend that answers when
 * the test says so.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/api.h"

#define ANSWER_BYTES (256 * 1024)
/* An answer of a daemon on the same machine, in the same thread; only a hang takes this long. */
#define ANSWER_NS (5 * NS_PER_S)

struct backend {
	struct snapshot *snapshot;
	bool hold;  /* keep the request for the test to finish */
	int refuse; /* what submit() returns */
	api_done_fn done;
	void *token;
	struct api_request request;
	unsigned submitted, policies_set;
	struct policy policy;
	pid_t policy_pid;
	int set_policy_result;
};

struct world {
	sd_event *event;
	struct api *api;
	struct backend backend;
	char directory[64], socket[96];
	char answer[ANSWER_BYTES];
	int status;
	const char *body;
};

static struct snapshot *fake_snapshot(void *data)
{
	return snapshot_ref(((struct backend *)data)->snapshot);
}

static int fake_submit(void *data, const struct api_request *request, api_done_fn done, void *token)
{
	struct backend *backend = data;

	if (backend->refuse)
		return backend->refuse;
	backend->submitted++;
	backend->request = *request;
	backend->done = done;
	backend->token = token;
	if (!backend->hold)
		done(token, (struct api_outcome){ .message = strdup("Done.") });
	return 0;
}

static int fake_set_policy(
	void *data, const struct snapshot_vm *vm, const struct policy *policy, char **ret_message)
{
	struct backend *backend = data;

	if (backend->set_policy_result < 0) {
		*ret_message = strdup("The disk is full.");
		return backend->set_policy_result;
	}
	backend->policies_set++;
	backend->policy = *policy;
	backend->policy_pid = vm->pid;
	*ret_message = strdup("Kept in /etc/pagefold/policy.d/00-set.conf.");
	return 0;
}

static void add_vm(struct snapshot_vm *vm, const char *name, const char *uuid, pid_t pid)
{
	snapshot_vm_init(vm);
	vm->is_vm = uuid != NULL;
	vm->name = name ? strdup(name) : NULL;
	vm->uuid = uuid ? strdup(uuid) : NULL;
	vm->pid = pid;
}

static struct snapshot *make_snapshot(uint64_t pass)
{
	struct snapshot *snapshot = snapshot_new();

	assert_non_null(snapshot);
	snapshot->pass_number = pass;
	snapshot->vms = calloc(5, sizeof(*snapshot->vms));
	assert_non_null(snapshot->vms);
	snapshot->vm_count = 5;
	add_vm(&snapshot->vms[0], "web1", "6f1c7f5e-0000-4000-8000-000000000001", 101);
	add_vm(&snapshot->vms[1], "twin", "6f1c7f5e-0000-4000-8000-000000000002", 102);
	add_vm(&snapshot->vms[2], "twin", "6f1c7f5e-0000-4000-8000-000000000003", 103);
	add_vm(&snapshot->vms[3], "a/b c", NULL, 104);
	add_vm(&snapshot->vms[4], "\xff\x1b[31mred", NULL, 105);
	return snapshot;
}

static int set_up(void **state)
{
	struct world *world = calloc(1, sizeof(*world));
	const struct api_backend backend = {
		.snapshot = fake_snapshot,
		.submit = fake_submit,
		.set_policy = fake_set_policy,
		.data = &world->backend,
	};

	assert_non_null(world);
	strcpy(world->directory, "/tmp/pagefold-test-api-XXXXXX");
	assert_non_null(mkdtemp(world->directory));
	(void)snprintf(world->socket, sizeof(world->socket), "%s/api.sock", world->directory);
	world->backend.snapshot = make_snapshot(1);
	assert_int_equal(sd_event_new(&world->event), 0);
	assert_int_equal(api_start(world->event, world->socket, &backend, &world->api), 0);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	api_stop(world->api);
	assert_int_equal(access(world->socket, F_OK), -1);
	sd_event_unref(world->event);
	snapshot_unref(world->backend.snapshot);
	assert_int_equal(rmdir(world->directory), 0);
	free(world);
	return 0;
}

static int connect_to(const struct world *world)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, world->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Writes what fits and lets the daemon run, until all is written or the daemon has hung up. */
static void say(struct world *world, int fd, const char *bytes, size_t length)
{
	const uint64_t start = clock_monotonic_ns();

	while (length > 0 && clock_monotonic_ns() - start < ANSWER_NS) {
		const ssize_t done = send(fd, bytes, length, MSG_NOSIGNAL);

		if (done > 0) {
			bytes += done;
			length -= (size_t)done;
		} else if (done < 0 && errno != EAGAIN) {
			return;
		}
		assert_true(sd_event_run(world->event, 1000) >= 0);
	}
}

/* Reads until the daemon closes the connection, which every request here asks for. */
static void hear(struct world *world, int fd)
{
	const uint64_t start = clock_monotonic_ns();
	size_t length = 0;

	while (clock_monotonic_ns() - start < ANSWER_NS) {
		const ssize_t got =
			recv(fd, world->answer + length, sizeof(world->answer) - 1 - length, 0);

		if (got == 0 || (got < 0 && errno != EAGAIN))
			break;
		if (got > 0)
			length += (size_t)got;
		assert_true(sd_event_run(world->event, 1000) >= 0);
	}
	assert_true(clock_monotonic_ns() - start < ANSWER_NS);
	world->answer[length] = '\0';
	world->status = 0;
	(void)sscanf(world->answer, "HTTP/1.1 %d", &world->status);
	world->body = strstr(world->answer, "\r\n\r\n");
	world->body = world->body ? world->body + 4 : "";
}

/* What has come once the daemon has nothing left to do. */
static void hear_so_far(struct world *world, int fd)
{
	ssize_t got;

	while (sd_event_run(world->event, 10 * 1000) > 0)
		;
	got = recv(fd, world->answer, sizeof(world->answer) - 1, 0);
	world->answer[got > 0 ? got : 0] = '\0';
	world->status = 0;
	(void)sscanf(world->answer, "HTTP/1.1 %d", &world->status);
}

static void exchange(struct world *world, const char *bytes, size_t length)
{
	_cleanup_close_ int fd = connect_to(world);

	say(world, fd, bytes, length);
	hear(world, fd);
}

static void begin_request(
	struct world *world, int fd, const char *method, const char *path, const char *body)
{
	_cleanup_free_ char *text = NULL;

	assert_true(asprintf(&text,
			    "%s %s HTTP/1.1\r\nHost: pagefold\r\nConnection: close\r\n"
			    "Content-Length: %zu\r\n\r\n%s",
			    method, path, strlen(body), body) > 0);
	say(world, fd, text, strlen(text));
}

static void request(struct world *world, const char *method, const char *path, const char *body)
{
	_cleanup_close_ int fd = connect_to(world);

	begin_request(world, fd, method, path, body);
	hear(world, fd);
}

/* The last answer's body; every one of ours has a schema. */
static json_t *answer_json(const struct world *world)
{
	json_t *json = json_loads(world->body, 0, NULL);

	assert_non_null(json);
	assert_int_equal(json_integer_value(json_object_get(json, "schema")), 1);
	return json;
}

static void assert_error(const struct world *world, int status)
{
	json_t *json;

	assert_int_equal(world->status, status);
	json = answer_json(world);
	assert_true(json_string_length(json_object_get(json, "error")) > 10);
	json_decref(json);
}

static void require_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("SKIP: changes are for root, and this is not root\n");
	skip();
}

static void test_every_path_answers_with_json(void **state)
{
	static const char *const paths[] = { "/v1/status", "/v1/vms", "/v1/vms/web1", "/v1/plan",
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
		"/v1/vms/WEB1", "/v1/matrix", "/v1/events", "/metrics", "/v1/../v1/status",
		"/v1/vms/%2e%2e", "/a/b/c/d/e/f/g" };
	struct world *world = *state;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
		request(world, "GET", paths[i], "");
		assert_error(world, 404);
	}
}

static void test_paths_of_later_versions_say_so(void **state)
{
	struct world *world = *state;

	request(world, "GET", "/v1/matrix", "");
	assert_non_null(strstr(world->body, "later version"));
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
		"{\"group\":\"a\\nmode=merge\"}", "{\"group\":\"a\\u0000\"}", "{\"hook\":\"qmp\"}",
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

static void test_two_requests_on_one_connection_are_both_answered(void **state)
{
	static const char text[] = "GET /v1/plan HTTP/1.1\r\nHost: a\r\n\r\n"
				   "GET /v1/vms HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	struct world *world = *state;

	exchange(world, text, strlen(text));
	assert_non_null(strstr(world->answer, "\"entries\""));
	assert_non_null(strstr(world->answer, "\"vms\""));
}

#define WITH_API(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_API(test_every_path_answers_with_json),
		WITH_API(test_head_is_get_without_a_body),
		WITH_API(test_unknown_paths_are_404),
		WITH_API(test_paths_of_later_versions_say_so),
		WITH_API(test_a_name_of_two_vms_is_409_with_candidates),
		WITH_API(test_before_the_first_pass_no_vm_is_unknown),
		WITH_API(test_methods_that_a_path_does_not_have_are_405),
		WITH_API(test_whoever_is_not_root_may_only_read),
		WITH_API(test_the_socket_is_closed_to_others),
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
		WITH_API(test_a_second_daemon_does_not_take_the_socket),
		WITH_API(test_a_stale_socket_is_replaced_and_a_file_is_not),
		WITH_API(test_hostile_requests_are_refused),
		WITH_API(test_a_long_url_is_refused),
		WITH_API(test_a_chunked_body_that_never_ends_is_cut_off),
		WITH_API(test_a_chunked_body_that_is_too_long_is_413),
		WITH_API(test_half_a_request_holds_up_nobody),
		WITH_API(test_more_clients_than_there_is_room_for_are_turned_away),
		WITH_API(test_two_requests_on_one_connection_are_both_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
