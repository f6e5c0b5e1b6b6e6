// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/qmp.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"

/* No reply we ask for has a hundredth of it. */
#define LINE_BYTES_MOST (UINT64_C(1) << 20)

/* QEMU greets a client at once; where it does not, it serves another one. */
#define GREETING_NS (2 * NS_PER_S)

/* ---- lines ---- */

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}

static json_t *line_load(const char *text, size_t length)
{
	json_t *line = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);

	if (line && !json_is_object(line)) {
		json_decref(line);
		line = NULL;
	}
	return line;
}

enum qmp_line qmp_line_kind(const char *text, size_t length)
{
	_cleanup_(cleanup_json) json_t *line = line_load(text, length);

	if (json_object_get(line, "return") || json_object_get(line, "error"))
		return QMP_LINE_REPLY;
	if (json_object_get(line, "event"))
		return QMP_LINE_EVENT;
	return json_object_get(line, "QMP") ? QMP_LINE_GREETING : QMP_LINE_BROKEN;
}

/* QEMU's words go to logs and terminals. */
static void sanitize(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
			*text = '?';
}

int qmp_reply_parse(
	const char *text, size_t length, json_t **ret_value, char reason[QMP_REASON_BYTES])
{
	_cleanup_(cleanup_json) json_t *reply = line_load(text, length);
	const char *words = json_string_value(
		json_object_get(json_object_get(reply, "error"), "desc"));
	json_t *value = json_object_get(reply, "return");

	if (json_object_get(reply, "error")) {
		snprintf(reason, QMP_REASON_BYTES, "QEMU says: %s", words ? words : "an error");
		sanitize(reason);
		return -EREMOTEIO;
	}
	if (!value) {
		snprintf(reason, QMP_REASON_BYTES, "QEMU's answer is no reply of QMP");
		return -EPROTO;
	}
	*ret_value = json_incref(value);
	return 0;
}

char *qmp_command(const char *name, json_t *arguments)
{
	_cleanup_(cleanup_json) json_t *command = json_pack("{s:s}", "execute", name);

	if (!command || (arguments && json_object_set(command, "arguments", arguments) < 0)) {
		json_decref(arguments);
		return NULL;
	}
	json_decref(arguments);
	return json_dumps(command, JSON_COMPACT);
}

/* ---- the socket ---- */

struct qmp {
	int fd;
	char *buffer; /* received, not yet taken */
	size_t length, room;
};

static void qmp_done(struct qmp *qmp)
{
	close_fd(qmp->fd);
	free(qmp->buffer);
}

static int qmp_wait(const struct qmp *qmp, short events, uint64_t deadline_ns)
{
	struct pollfd wanted = { .fd = qmp->fd, .events = events };
	int r;

	do {
		const uint64_t now_ns = clock_monotonic_ns();
		const uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
		const struct timespec timeout = {
			.tv_sec = (time_t)(left_ns / NS_PER_S),
			.tv_nsec = (long)(left_ns % NS_PER_S),
		};

		r = ppoll(&wanted, 1, &timeout, NULL);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r ? 0 : -ETIMEDOUT;
}

/* Whoever called listen() on a path that a command line names is who we talk to as root: it must be that
 * process itself. */
static int qmp_check_peer(const struct qmp *qmp, pid_t pid)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);

	if (getsockopt(qmp->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return -errno;
	return peer.pid == pid ? 0 : -EPERM;
}

static int qmp_connect(struct qmp *qmp, const char *path, pid_t pid)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	qmp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (qmp->fd < 0)
		return -errno;
	/* A Unix socket connects at once, or its queue is full: EAGAIN. */
	if (connect(qmp->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -EBUSY : -errno;
	return qmp_check_peer(qmp, pid);
}

static int qmp_send(struct qmp *qmp, const char *line, uint64_t deadline_ns)
{
	_cleanup_free_ char *text = NULL;
	const int length = asprintf(&text, "%s\n", line);

	if (length < 0) {
		text = NULL;
		return -ENOMEM;
	}
	for (size_t sent = 0; sent < (size_t)length;) {
		const ssize_t n = send(qmp->fd, text + sent, (size_t)length - sent, MSG_NOSIGNAL);
		int error = 0;

		if (n > 0)
			sent += (size_t)n;
		else if (errno == EAGAIN)
			error = qmp_wait(qmp, POLLOUT, deadline_ns);
		else if (errno != EINTR)
			error = -errno;
		if (error)
			return error;
	}
	return 0;
}

static int qmp_receive(struct qmp *qmp, uint64_t deadline_ns)
{
	ssize_t n;
	int error;

	if (qmp->length == qmp->room) {
		const size_t room = qmp->room ? qmp->room * 2 : 4096;
		char *buffer = room <= LINE_BYTES_MOST ? realloc(qmp->buffer, room) : NULL;

		if (!buffer)
			return room <= LINE_BYTES_MOST ? -ENOMEM : -EPROTO;
		qmp->buffer = buffer;
		qmp->room = room;
	}
	error = qmp_wait(qmp, POLLIN, deadline_ns);
	if (error)
		return error;
	n = recv(qmp->fd, qmp->buffer + qmp->length, qmp->room - qmp->length, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	qmp->length += (size_t)n;
	return n ? 0 : -ECONNRESET;
}

/* The next line without its end, in memory the caller frees. */
static int qmp_read_line(struct qmp *qmp, uint64_t deadline_ns, char **ret, size_t *ret_length)
{
	const char *end;
	size_t taken;

	while (!(end = qmp->length ? memchr(qmp->buffer, '\n', qmp->length) : NULL)) {
		const int error = qmp_receive(qmp, deadline_ns);

		if (error)
			return error;
	}
	taken = (size_t)(end - qmp->buffer) + 1;
	*ret = malloc(taken);
	if (!*ret)
		return -ENOMEM;
	memcpy(*ret, qmp->buffer, taken);
	(*ret)[taken - 1] = '\0';
	*ret_length = taken - 1;
	qmp->length -= taken;
	memmove(qmp->buffer, qmp->buffer + taken, qmp->length);
	return 0;
}

/* Events come at any time, and are for others. A guest that causes them without end does not keep us: the
 * deadline counts for all of them together. */
static int qmp_read(struct qmp *qmp, enum qmp_line kind, uint64_t deadline_ns, char **ret)
{
	for (;;) {
		_cleanup_free_ char *line = NULL;
		size_t length;
		enum qmp_line found;
		int error = qmp_read_line(qmp, deadline_ns, &line, &length);

		if (error)
			return error;
		found = qmp_line_kind(line, length);
		if (found == kind) {
			*ret = steal_pointer(&line);
			return 0;
		}
		if (found != QMP_LINE_EVENT)
			return -EPROTO;
		if (clock_monotonic_ns() >= deadline_ns)
			return -ETIMEDOUT;
	}
}

static int qmp_greet(struct qmp *qmp, uint64_t deadline_ns)
{
	_cleanup_free_ char *greeting = NULL, *reply = NULL;
	const uint64_t patience_ns = clock_monotonic_ns() + GREETING_NS;
	int error;

	error = qmp_read(qmp, QMP_LINE_GREETING,
		deadline_ns < patience_ns ? deadline_ns : patience_ns, &greeting);
	if (error)
		return error == -ETIMEDOUT ? -EBUSY : error;
	error = qmp_send(qmp, "{\"execute\":\"qmp_capabilities\"}", deadline_ns);
	if (!error)
		error = qmp_read(qmp, QMP_LINE_REPLY, deadline_ns, &reply);
	return error;
}

static void explain(int error, const char *path, char reason[QMP_REASON_BYTES])
{
	const char *why = error == -EBUSY ? "somebody else is using it (it serves one client at a time), "
					    "or QEMU is busy"
		: error == -EPERM     ? "another process listens there"
		: error == -ETIMEDOUT ? "QEMU did not answer in time"
		: error == -EPROTO    ? "what it says is not QMP"
				      : strerror(-error);

	snprintf(reason, QMP_REASON_BYTES, "QMP socket %s: %s", path, why);
	sanitize(reason);
}

int qmp_execute(const char *socket_path, pid_t pid, const char *command, uint64_t deadline_ns,
	char **ret_reply, char reason[QMP_REASON_BYTES])
{
	_cleanup_(qmp_done) struct qmp qmp = { .fd = -1 };
	int error;

	error = qmp_connect(&qmp, socket_path, pid);
	if (!error)
		error = qmp_greet(&qmp, deadline_ns);
	if (!error)
		error = qmp_send(&qmp, command, deadline_ns);
	if (!error)
		error = qmp_read(&qmp, QMP_LINE_REPLY, deadline_ns, ret_reply);
	if (error)
		explain(error, socket_path, reason);
	return error;
}

int qmp_status_parse(
	const char *text, size_t length, bool *ret_incoming, char reason[QMP_REASON_BYTES])
{
	const char *status;
	json_t *value;
	int error = qmp_reply_parse(text, length, &value, reason);

	if (error)
		return error;
	status = json_string_value(json_object_get(value, "status"));
	if (status)
		*ret_incoming = !strcmp(status, "inmigrate");
	else
		snprintf(reason, QMP_REASON_BYTES, "the reply to query-status has no status");
	json_decref(value);
	return status ? 0 : -EPROTO;
}
