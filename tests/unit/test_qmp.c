// SPDX-License-Identifier: GPL-2.0-or-later
/* QMP against a server of the test's own that says what a table tells it. */
#include "hypervisor-glue/qmp.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/qmp_memdev.h"

#define GREETING "{\"QMP\":{\"version\":{},\"capabilities\":[]}}\n"
#define DONE     "{\"return\":{}}\n"
#define EVENT    "{\"event\":\"RESUME\",\"timestamp\":{\"seconds\":1,\"microseconds\":2}}\n"

struct server {
	char directory[64], path[96];
	int fd;
	pthread_t thread;
	const char *says[3]; /* at once, to the first and to the second line of the client */
	char heard[256];
};

static void server_hear(struct server *server, int fd)
{
	char c;

	for (size_t i = strlen(server->heard); i + 1 < sizeof(server->heard); i++) {
		if (read(fd, &c, 1) != 1)
			return;
		server->heard[i] = c;
		if (c == '\n')
			return;
	}
}

static void *server_main(void *arg)
{
	struct server *server = arg;
	const int fd = accept(server->fd, NULL, NULL);

	for (size_t i = 0; fd >= 0 && i < ARRAY_SIZE(server->says) && server->says[i]; i++) {
		if (i)
			server_hear(server, fd);
		if (send(fd, server->says[i], strlen(server->says[i]), MSG_NOSIGNAL) < 0)
			break;
	}
	close_fd(fd);
	return NULL;
}

static void server_start(struct server *server, bool serve)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(server->directory, "/tmp/pagefold-test-qmp-XXXXXX");
	assert_non_null(mkdtemp(server->directory));
	(void)snprintf(server->path, sizeof(server->path), "%s/qmp", server->directory);
	strcpy(address.sun_path, server->path);
	server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server->fd, 1), 0);
	if (serve)
		assert_int_equal(pthread_create(&server->thread, NULL, server_main, server), 0);
}

static void server_stop(struct server *server, bool serve)
{
	if (serve)
		assert_int_equal(pthread_join(server->thread, NULL), 0);
	assert_int_equal(close(server->fd), 0);
	assert_int_equal(unlink(server->path), 0);
	assert_int_equal(rmdir(server->directory), 0);
}

static uint64_t in_ms(uint64_t ms)
{
	return clock_monotonic_ns() + ms * NS_PER_MS;
}

static void test_server_that_says_anything(void **state)
{
	static const struct {
		const char *says[3];
		int error;
		const char *words; /* the reply, or of the reason */
	} cases[] = {
		{ { GREETING, DONE, "{\"return\":[1]}\n" }, 0, "{\"return\":[1]}" },
		{ { GREETING, DONE, "{\"return\":[1]}\r\n" }, 0, "{\"return\":[1]}" },
		{ { EVENT GREETING, EVENT DONE, EVENT EVENT DONE }, 0, "{\"return\":{}}" },
		{ { GREETING, DONE, "{\"error\":{\"class\":\"X\"}}\n" }, 0, "{\"error\"" },
		{ { "" }, -ECONNRESET, "reset" },
		{ { GREETING, "" }, -ECONNRESET, "reset" },
		{ { GREETING, DONE, "{\"return\":" }, -ECONNRESET, "reset" },
		{ { "SSH-2.0\r\n" }, -EPROTO, "not QMP" },
		{ { "\n" }, -EPROTO, "not QMP" },
		{ { "[]\n" }, -EPROTO, "not QMP" },
		{ { DONE }, -EPROTO, "not QMP" },
		{ { GREETING, GREETING }, -EPROTO, "not QMP" },
		{ { GREETING, DONE, "{\"return\":1,\"return\":2}\n" }, -EPROTO, "not QMP" },
		{ { GREETING, DONE, "{\"return\":\"\xff\"}\n" }, -EPROTO, "not QMP" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct server server = { .heard = "" };
		char reason[QMP_REASON_BYTES] = "", *reply = NULL;
		int error;

		memcpy(server.says, cases[i].says, sizeof(server.says));
		server_start(&server, true);
		error = qmp_execute(server.path, getpid(), "{\"execute\":\"x\"}", in_ms(5000),
			&reply, reason);
		assert_int_equal(error, cases[i].error);
		assert_non_null(strstr(error ? reason : reply, cases[i].words));
		server_stop(&server, true);
		if (!error)
			assert_string_equal(server.heard,
				"{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"x\"}\n");
		free(reply);
	}
}

static void test_line_without_an_end_is_given_up(void **state)
{
	_cleanup_free_ char *line = malloc((2 << 20) + 1);
	struct server server = { .says = { line } };
	char reason[QMP_REASON_BYTES], *reply;

	(void)state;
	memset(line, ' ', 2 << 20);
	line[2 << 20] = '\0';
	server_start(&server, true);
	assert_int_equal(qmp_execute(server.path, getpid(), "{}", in_ms(5000), &reply, reason),
		-EPROTO);
	server_stop(&server, true);
}

static void test_busy_socket_is_left_to_whom_it_serves(void **state)
{
	struct server server = { .heard = "" };
	char reason[QMP_REASON_BYTES], *reply;

	(void)state;
	server_start(&server, false);
	for (int i = 0; i < 4; i++) { /* at first it is queued, then the queue is full */
		assert_int_equal(
			qmp_execute(server.path, getpid(), "{}", in_ms(20), &reply, reason), -EBUSY);
		assert_non_null(strstr(reason, "one client at a time"));
	}
	server_stop(&server, false);
}

static void test_socket_of_another_process_is_not_talked_to(void **state)
{
	struct server server = { .heard = "", .says = { GREETING } };
	char reason[QMP_REASON_BYTES], *reply;

	(void)state;
	server_start(&server, true);
	assert_int_equal(
		qmp_execute(server.path, getppid(), "{}", in_ms(5000), &reply, reason), -EPERM);
	server_stop(&server, true);
	assert_string_equal(server.heard, "");
}

static void test_socket_that_is_not_there(void **state)
{
	char reason[QMP_REASON_BYTES], *reply, path[200] = "/";

	(void)state;
	assert_int_equal(qmp_execute("/nonexistent/qmp", getpid(), "{}", in_ms(20), &reply, reason),
		-ENOENT);
	memset(path + 1, 'x', sizeof(path) - 2);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(
		qmp_execute(path, getpid(), "{}", in_ms(20), &reply, reason), -ENAMETOOLONG);
}

static void test_replies(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *words;
	} cases[] = {
		{ "{\"return\":{}}", 0, "" },
		{ "{\"return\":[],\"id\":\"libvirt-7\"}", 0, "" },
		{ "{\"error\":{\"class\":\"DeviceNotFound\",\"desc\":\"Device 'x' not found\"}}",
			-EREMOTEIO, "QEMU says: Device 'x' not found" },
		{ "{\"error\":{\"desc\":\"a\\u001b[31mb\"}}", -EREMOTEIO, "a?[31mb" },
		{ "{\"error\":{}}", -EREMOTEIO, "an error" },
		{ "{\"error\":7,\"return\":{}}", -EREMOTEIO, "an error" },
		{ "{}", -EPROTO, "no reply" },
		{ "", -EPROTO, "no reply" },
		{ "[", -EPROTO, "no reply" },
		{ "{\"event\":\"STOP\"}", -EPROTO, "no reply" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char reason[QMP_REASON_BYTES] = "";
		json_t *value = NULL;

		assert_int_equal(
			qmp_reply_parse(cases[i].text, strlen(cases[i].text), &value, reason),
			cases[i].error);
		assert_non_null(strstr(reason, cases[i].words));
		json_decref(value);
	}
}

static void test_states_of_a_vm(void **state)
{
	static const struct {
		const char *text;
		int error;
		bool incoming;
	} cases[] = {
		{ "{\"return\":{\"status\":\"inmigrate\",\"running\":false}}", 0, true },
		{ "{\"return\":{\"status\":\"running\",\"running\":true}}", 0, false },
		{ "{\"return\":{\"status\":\"paused\"}}", 0, false },
		{ "{\"return\":{\"status\":7}}", -EPROTO, false },
		{ "{\"return\":{}}", -EPROTO, false },
		{ "{\"return\":[]}", -EPROTO, false },
		{ "{\"error\":{\"class\":\"a\",\"desc\":\"inmigrate\"}}", -EREMOTEIO, false },
		{ "status", -EPROTO, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const size_t length = strlen(cases[i].text);
		char reason[QMP_REASON_BYTES] = "";
		bool incoming = false;

		assert_int_equal(
			qmp_status_parse(cases[i].text, length, &incoming, reason), cases[i].error);
		assert_int_equal(incoming, cases[i].incoming);
		assert_int_equal(reason[0] != '\0', cases[i].error != 0);
	}
}

static void test_commands(void **state)
{
	_cleanup_free_ char *plain = qmp_command("query-memdev", NULL);
	_cleanup_free_ char *full =
		qmp_command("qom-set", json_pack("{s:s,s:b}", "path", "/o\"", "value", 1));

	(void)state;
	assert_string_equal(plain, "{\"execute\":\"query-memdev\"}");
	assert_string_equal(full, "{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"/o\\\"\","
				  "\"value\":true}}");
}

static void test_backends_that_are_named(void **state)
{
	static const struct {
		const char *reply;
		size_t count;
	} cases[] = {
		{ "{\"return\":[{\"id\":\"pc.ram\",\"size\":4096,\"share\":false}]}", 1 },
		{ "{\"return\":[{\"id\":\"a\",\"size\":1},{\"id\":\"b\",\"size\":1}]}", 2 },
		{ "{\"return\":[{\"id\":\"a\",\"size\":1,\"share\":true}]}", 0 },
		{ "{\"return\":[{\"size\":1}]}", 0 },
		{ "{\"return\":[{\"id\":\"\",\"size\":1}]}", 0 },
		{ "{\"return\":[{\"id\":\"../machine\",\"size\":1}]}", 0 },
		{ "{\"return\":[{\"id\":\"a/b\",\"size\":1}]}", 0 },
		{ "{\"return\":[{\"id\":\"a\",\"size\":-1}]}", 0 },
		{ "{\"return\":[{\"id\":\"a\",\"size\":\"1\"}]}", 0 },
		{ "{\"return\":[{\"id\":7,\"size\":1}]}", 0 },
		{ "{\"return\":[7,null,[]]}", 0 },
		{ "{\"return\":{\"id\":\"a\",\"size\":1}}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct memdevs memdevs;
		char reason[256];

		assert_int_equal(
			memdevs_parse(cases[i].reply, strlen(cases[i].reply), &memdevs, reason), 0);
		assert_int_equal(memdevs.count, cases[i].count);
	}
}

#define MIB_AT(n) (UINT64_C(0x7f0000000000) + ((uint64_t)(n) << 20))

static struct vma vma_at(uint64_t from_mib, uint64_t to_mib, uint32_t flags)
{
	return (struct vma){
		.start = MIB_AT(from_mib),
		.end = MIB_AT(to_mib),
		.readable = true,
		.writable = true,
		.flags = flags,
	};
}

static size_t located(const struct vma *vmas, size_t count, size_t backends, uint64_t *ret_start)
{
	const struct smaps_list smaps = { .vmas = (struct vma *)(uintptr_t)vmas, .count = count };
	struct memdevs memdevs = { .count = backends };
	struct ram_range *ranges;
	size_t found = 0;

	for (size_t i = 0; i < backends; i++)
		memdevs.list[i].size = UINT64_C(64) << 20;
	if (memdevs_locate(&memdevs, UINT64_C(64) << 20, &smaps, &ranges, &found) == 0) {
		*ret_start = ranges[0].start;
		free(ranges);
	}
	return found;
}

static void test_backends_that_are_found(void **state)
{
	const struct vma one[] = { vma_at(0, 64, VMA_HUGEPAGE) };
	const struct vma neighbour[] = { vma_at(0, 3, 0), vma_at(3, 67, VMA_HUGEPAGE) };
	const struct vma split[] = { vma_at(0, 2, VMA_HUGEPAGE),
		vma_at(2, 4, VMA_NOHUGEPAGE | VMA_MERGEABLE), vma_at(4, 64, VMA_HUGEPAGE) };
	const struct vma two[] = { vma_at(0, 64, VMA_HUGEPAGE), vma_at(100, 164, VMA_HUGEPAGE) };
	const struct vma other[] = { vma_at(0, 64, 0), vma_at(100, 164, VMA_HUGEPAGE) };
	uint64_t start = 0;

	(void)state;
	assert_int_equal(located(one, 1, 1, &start), 1);
	assert_int_equal(located(neighbour, 2, 1, &start), 1);
	assert_int_equal(start, MIB_AT(3));
	assert_int_equal(located(split, 3, 1, &start), 1);
	assert_int_equal(located(two, 2, 2, &start), 2);
	assert_int_equal(located(two, 2, 1, &start), 0); /* which of them? */
	assert_int_equal(located(one, 1, 2, &start), 0);
	assert_int_equal(located(other, 2, 1, &start), 1); /* what QEMU advised */
	assert_int_equal(start, MIB_AT(100));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server_that_says_anything),
		cmocka_unit_test(test_line_without_an_end_is_given_up),
		cmocka_unit_test(test_busy_socket_is_left_to_whom_it_serves),
		cmocka_unit_test(test_socket_of_another_process_is_not_talked_to),
		cmocka_unit_test(test_socket_that_is_not_there),
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_states_of_a_vm),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_backends_that_are_named),
		cmocka_unit_test(test_backends_that_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
