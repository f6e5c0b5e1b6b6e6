// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * libmicrohttpd without threads: its epoll descriptor is a source of our event loop, and one timer
 * stands for whatever it wants to wait for.
 */
#include "daemon/api.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "daemon/api_internal.h"
#include "daemon/log.h"

/* A CLI or a collector each hold one; this leaves room for both, and bounds what a group member who
 * opens connections and says nothing can hold. */
#define CONNECTIONS_MAX 64u
/* Of a client that is silent; requests that wait for the daemon do not count. */
#define IDLE_TIMEOUT_S 10u
/* Request line and headers; longer ones are answered 414 or 431. */
#define CONNECTION_MEMORY ((size_t)16 * 1024)
/* At the end, every answer that waits is written in two runs; the rest is for clients that read
 * slowly. */
#define STOP_RUNS 16

static void arm_timer(struct api *api)
{
	MHD_UNSIGNED_LONG_LONG wait_ms = 0;
	uint64_t now_us = 0;

	if (MHD_get_timeout(api->http, &wait_ms) != MHD_YES) {
		(void)sd_event_source_set_enabled(api->timer, SD_EVENT_OFF);
		return;
	}
	(void)sd_event_now(sd_event_source_get_event(api->timer), CLOCK_MONOTONIC, &now_us);
	(void)sd_event_source_set_time(api->timer, now_us + (uint64_t)wait_ms * 1000);
	(void)sd_event_source_set_enabled(api->timer, SD_EVENT_ONESHOT);
}

static unsigned connection_count(const struct api *api)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(api->http, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

/*
 * With all connections taken, libmicrohttpd leaves the listening socket out of its epoll set, and
 * puts it back only at the start of a run after one was closed: a run that nothing would cause, so
 * we do.
 */
static void run_http(struct api *api)
{
	const bool was_full = connection_count(api) >= CONNECTIONS_MAX;

	(void)MHD_run(api->http);
	if (was_full || connection_count(api) >= CONNECTIONS_MAX)
		(void)MHD_run(api->http);
	arm_timer(api);
}

static int on_io(
	_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t events, void *api)
{
	run_http(api);
	return 0;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *api)
{
	run_http(api);
	return 0;
}

static int on_resumed(_unused_ sd_event_source *source, void *api)
{
	run_http(api);
	return 0;
}

void api_wake(struct api *api)
{
	(void)sd_event_source_set_enabled(api->resumed, SD_EVENT_ONESHOT);
}

__attribute__((format(printf, 2, 0))) static void on_http_log(
	_unused_ void *api, const char *format, va_list arguments)
{
	char line[256];

	(void)vsnprintf(line, sizeof(line), format, arguments);
	line[strcspn(line, "\n")] = '\0';
	log_debug("API: %s", line);
}

/* The path is decoded segment by segment, so that a slash in a name stays one. */
static size_t keep_encoded(
	_unused_ void *api, _unused_ struct MHD_Connection *connection, char *text)
{
	return strlen(text);
}

static int start_http(struct api *api, int *listen_fd)
{
	const unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

	// clang-format off
	api->http = MHD_start_daemon(flags, 0, NULL, NULL, api_call_step, api,
		MHD_OPTION_EXTERNAL_LOGGER, on_http_log, api,
		MHD_OPTION_LISTEN_SOCKET, *listen_fd,
		MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, IDLE_TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_COMPLETED, api_call_completed, api,
		MHD_OPTION_UNESCAPE_CALLBACK, keep_encoded, api,
		MHD_OPTION_STRICT_FOR_CLIENT, 1,
		MHD_OPTION_END);
	// clang-format on
	if (!api->http)
		return -ENOMEM;
	(void)steal_fd(listen_fd); /* closed by MHD_stop_daemon() */
	return 0;
}

static int add_sources(struct api *api, sd_event *event)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(api->http, MHD_DAEMON_INFO_EPOLL_FD);
	int r;

	if (!info)
		return -EOPNOTSUPP;
	r = sd_event_add_io(event, &api->io, info->epoll_fd, EPOLLIN, on_io, api);
	if (r < 0)
		return r;
	r = sd_event_add_time(event, &api->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, api);
	if (r < 0)
		return r;
	r = sd_event_add_defer(event, &api->resumed, on_resumed, api);
	if (r < 0)
		return r;
	(void)sd_event_source_set_enabled(api->resumed, SD_EVENT_OFF);
	arm_timer(api);
	return 0;
}

int api_start(sd_event *event, const char *socket_path, const struct api_backend *backend,
	struct api **ret)
{
	_cleanup_close_ int listen_fd = api_socket_listen(socket_path);
	struct api *api;
	struct stat status;
	int r = 0;

	if (listen_fd < 0)
		return listen_fd;
	api = calloc(1, sizeof(*api));
	if (!api)
		return -ENOMEM;
	api->backend = *backend;
	api->socket_path = strdup(socket_path);
	if (!api->socket_path)
		r = -ENOMEM;
	else if (stat(socket_path, &status) < 0)
		r = -errno;
	else {
		api->socket_device = status.st_dev;
		api->socket_inode = status.st_ino;
		r = start_http(api, &listen_fd);
	}
	if (r == 0)
		r = add_sources(api, event);
	if (r < 0) {
		api_stop(api);
		return r;
	}
	*ret = api;
	return 0;
}

/* libmicrohttpd must not be stopped with suspended connections. */
static void answer_pending(struct api *api)
{
	for (struct api_call *call = api->pending; call; call = call->next)
		if (call->connection && !call->have_outcome)
			api_call_finish(call, (struct api_outcome){ .error = -ECANCELED });
	for (int i = 0; i < STOP_RUNS; i++)
		(void)MHD_run(api->http);
}

/* The backend may still hold calls; it must not find the API through them. */
static void orphan_pending(struct api *api)
{
	for (struct api_call *call = api->pending; call; call = call->next)
		call->api = NULL;
}

/* Unless another daemon has put its own there. */
static void remove_socket(const struct api *api)
{
	struct stat status;

	if (stat(api->socket_path, &status) == 0 && status.st_dev == api->socket_device &&
		status.st_ino == api->socket_inode)
		(void)unlink(api->socket_path);
}

static void source_done(sd_event_source *source)
{
	if (source)
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	(void)sd_event_source_unref(source);
}

void api_stop(struct api *api)
{
	if (!api)
		return;
	if (api->socket_path)
		remove_socket(api);
	if (api->http && api->resumed)
		answer_pending(api);
	source_done(api->io);
	source_done(api->timer);
	source_done(api->resumed);
	if (api->http)
		MHD_stop_daemon(api->http);
	orphan_pending(api);
	free(api->socket_path);
	free(api);
}
