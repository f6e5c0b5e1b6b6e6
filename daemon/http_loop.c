// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/http_loop.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "common/cleanup.h"
#include "daemon/log.h"

/* Of a client that is silent; requests that wait for the daemon do not count. */
#define IDLE_TIMEOUT_S 10u
/* Request line and headers; longer ones are answered 414 or 431. */
#define CONNECTION_MEMORY ((size_t)16 * 1024)

static void arm_timer(struct http_loop *loop)
{
	MHD_UNSIGNED_LONG_LONG wait_ms = 0;
	uint64_t now_us = 0;

	if (MHD_get_timeout(loop->http, &wait_ms) != MHD_YES) {
		(void)sd_event_source_set_enabled(loop->timer, SD_EVENT_OFF);
		return;
	}
	(void)sd_event_now(sd_event_source_get_event(loop->timer), CLOCK_MONOTONIC, &now_us);
	(void)sd_event_source_set_time(loop->timer, now_us + (uint64_t)wait_ms * 1000);
	(void)sd_event_source_set_enabled(loop->timer, SD_EVENT_ONESHOT);
}

static unsigned connection_count(const struct http_loop *loop)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(loop->http, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

/*
 * With all connections taken, libmicrohttpd leaves the listening socket out of its epoll set, and
 * puts it back only at the start of a run after one was closed: a run that nothing would cause, so
 * we do.
 */
static void run_http(struct http_loop *loop)
{
	const bool was_full = connection_count(loop) >= loop->connections_max;

	(void)MHD_run(loop->http);
	if (was_full || connection_count(loop) >= loop->connections_max)
		(void)MHD_run(loop->http);
	arm_timer(loop);
}

static int on_io(
	_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t events, void *loop)
{
	run_http(loop);
	return 0;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *loop)
{
	run_http(loop);
	return 0;
}

static int on_resumed(_unused_ sd_event_source *source, void *loop)
{
	run_http(loop);
	return 0;
}

void http_loop_wake(struct http_loop *loop)
{
	(void)sd_event_source_set_enabled(loop->resumed, SD_EVENT_ONESHOT);
}

__attribute__((format(printf, 2, 0))) static void on_http_log(
	_unused_ void *loop, const char *format, va_list arguments)
{
	char line[256];

	(void)vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = '\0';
	log_debug("HTTP: %s", line);
}

/* The path is decoded segment by segment, so that a slash in a name stays one. */
static size_t keep_encoded(
	_unused_ void *loop, _unused_ struct MHD_Connection *connection, char *text)
{
	return strlen(text);
}

static int start_http(struct http_loop *loop, const struct http_server *server, int *listen_fd)
{
	const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

	// clang-format off
	loop->http = MHD_start_daemon(flags, 0, NULL, NULL, server->step, server->data,
		MHD_OPTION_EXTERNAL_LOGGER, on_http_log, loop,
		MHD_OPTION_LISTEN_SOCKET, *listen_fd,
		MHD_OPTION_CONNECTION_LIMIT, server->connections_max,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_COMPLETED, server->completed, server->data,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, loop,
		MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_END);
	// clang-format on
	if (!loop->http)
		return -ENOMEM;
	(void)steal_fd(listen_fd); /* closed by MHD_stop_daemon() */
	return 0;
}

static int add_sources(struct http_loop *loop, sd_event *event)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(loop->http, MHD_DAEMON_INFO_EPOLL_FD);
	int r;

	if (!info)
		return -EOPNOTSUPP;
	r = sd_event_add_io(event, &loop->io, info->epoll_fd, EPOLLIN, on_io, loop);
	if (r < 0)
		return r;
	r = sd_event_add_time(event, &loop->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, loop);
	if (r < 0)
		return r;
	r = sd_event_add_defer(event, &loop->resumed, on_resumed, loop);
	if (r < 0)
		return r;
	(void)sd_event_source_set_enabled(loop->resumed, SD_EVENT_OFF);
	arm_timer(loop);
	return 0;
}

int http_loop_start(
	struct http_loop *loop, sd_event *event, const struct http_server *server, int *listen_fd)
{
	int r;

	*loop = (struct http_loop){ .connections_max = server->connections_max };
	r = start_http(loop, server, listen_fd);
	return r < 0 ? r : add_sources(loop, event);
}

static void source_done(sd_event_source *source)
{
	if (source)
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	(void)sd_event_source_unref(source);
}

void http_loop_stop(struct http_loop *loop)
{
	source_done(loop->io);
	source_done(loop->timer);
	source_done(loop->resumed);
	if (loop->http)
		MHD_stop_daemon(loop->http);
	*loop = (struct http_loop){ 0 };
}
