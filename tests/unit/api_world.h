/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The API as its clients meet it: over its socket, in one thread, with a backend that answers when the
 * test says so.
 */
#ifndef PAGEFOLD_TESTS_API_WORLD_H
#define PAGEFOLD_TESTS_API_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
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

static inline struct snapshot *fake_snapshot(void *data)
{
	return snapshot_ref(((struct backend *)data)->snapshot);
}

static inline struct document *fake_matrix(void)
{
	static const char text[] = "{\"schema\":1,\"pairs\":[]}\n";

	return document_new(strdup(text), strlen(text));
}

static inline int fake_submit(void *data, const struct api_request *request, api_done_fn done, void *token)
{
	struct backend *backend = data;

	if (backend->refuse)
		return backend->refuse;
	backend->submitted++;
	backend->request = *request;
	backend->done = done;
	backend->token = token;
	if (backend->hold)
		return 0;
	if (request->command == API_MATRIX)
		done(token, (struct api_outcome){ .document = fake_matrix() });
	else
		done(token, (struct api_outcome){ .message = strdup("Done.") });
	return 0;
}

static inline void fake_set_policy(void *data, const struct snapshot_vm *vm,
	const struct policy *policy, api_done_fn done, void *token)
{
	struct backend *backend = data;

	if (backend->set_policy_result < 0) {
		done(token, (struct api_outcome){ .error = backend->set_policy_result,
				    .message = strdup("The disk is full.") });
		return;
	}
	backend->policies_set++;
	backend->policy = *policy;
	backend->policy_pid = vm->pid;
	done(token, (struct api_outcome){
			    .message = strdup("Kept in /etc/pagefold/policy.d/00-set.conf.") });
}

static inline void add_vm(struct snapshot_vm *vm, const char *name, const char *uuid, pid_t pid)
{
	snapshot_vm_init(vm);
	vm->is_vm = uuid != NULL;
	vm->name = name ? strdup(name) : NULL;
	vm->uuid = uuid ? strdup(uuid) : NULL;
	vm->pid = pid;
}

static inline struct snapshot *make_snapshot(uint64_t pass)
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

static inline int set_up(void **state)
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

static inline int tear_down(void **state)
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

static inline int connect_to(const struct world *world)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, world->socket);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Writes what fits and lets the daemon run, until all is written or the daemon has hung up. */
static inline void say(struct world *world, int fd, const char *bytes, size_t length)
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
static inline void hear(struct world *world, int fd)
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
static inline void hear_so_far(struct world *world, int fd)
{
	ssize_t got;

	while (sd_event_run(world->event, 10 * 1000) > 0)
		;
	got = recv(fd, world->answer, sizeof(world->answer) - 1, 0);
	world->answer[got > 0 ? got : 0] = '\0';
	world->status = 0;
	(void)sscanf(world->answer, "HTTP/1.1 %d", &world->status);
}

static inline void exchange(struct world *world, const char *bytes, size_t length)
{
	_cleanup_close_ int fd = connect_to(world);

	say(world, fd, bytes, length);
	hear(world, fd);
}

static inline void begin_request(
	struct world *world, int fd, const char *method, const char *path, const char *body)
{
	_cleanup_free_ char *text = NULL;

	assert_true(asprintf(&text,
			    "%s %s HTTP/1.1\r\nHost: pagefold\r\nConnection: close\r\n"
			    "Content-Length: %zu\r\n\r\n%s",
			    method, path, strlen(body), body) > 0);
	say(world, fd, text, strlen(text));
}

static inline void request(struct world *world, const char *method, const char *path, const char *body)
{
	_cleanup_close_ int fd = connect_to(world);

	begin_request(world, fd, method, path, body);
	hear(world, fd);
}

/* The last answer's body; every one of ours has a schema. */
static inline json_t *answer_json(const struct world *world)
{
	json_t *json = json_loads(world->body, 0, NULL);

	assert_non_null(json);
	assert_int_equal(json_integer_value(json_object_get(json, "schema")), 1);
	return json;
}

static inline void assert_error(const struct world *world, int status)
{
	json_t *json;

	assert_int_equal(world->status, status);
	json = answer_json(world);
	assert_true(json_string_length(json_object_get(json, "error")) > 10);
	json_decref(json);
}

static inline void require_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("SKIP: changes are for root, and this is not root\n");
	skip();
}

#define WITH_API(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
