// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The API's socket, and its life in the event loop (http_loop.c).
 */
#include "daemon/api.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/api_internal.h"

/* A CLI or a collector each hold one; this leaves room for both. */
#define CONNECTIONS_MAX 64u
/* At the end, every answer that waits is written in two runs; the rest is for clients that read
 * slowly. */
#define STOP_RUNS 16

void api_wake(struct api *api)
{
	http_loop_wake(&api->loop);
}

int api_start(sd_event *event, const char *socket_path, const struct api_backend *backend,
	struct api **ret)
{
	_cleanup_close_ int listen_fd = api_socket_listen(socket_path);
	struct http_server server = {
		.step = api_call_step,
		.completed = api_call_completed,
		.connections_max = CONNECTIONS_MAX,
	};
	struct api *api;
	struct stat status;
	int r = 0;

	if (listen_fd < 0)
		return listen_fd;
	api = calloc(1, sizeof(*api));
	if (!api)
		return -ENOMEM;
	server.data = api;
	api->backend = *backend;
	api_events_init(&api->events, &api->loop, event);
	api->socket_path = strdup(socket_path);
	if (!api->socket_path)
		r = -ENOMEM;
	else if (stat(socket_path, &status) < 0)
		r = -errno;
	else {
		api->socket_device = status.st_dev;
		api->socket_inode = status.st_ino;
		r = http_loop_start(&api->loop, event, &server, &listen_fd);
	}
	if (r < 0) {
		api_stop(api);
		return r;
	}
	*ret = api;
	return 0;
}

void api_news(struct api *api)
{
	struct snapshot *snapshot;

	if (!api)
		return;
	snapshot = api->backend.snapshot(api->backend.data);
	api_events_step(&api->events, snapshot);
	snapshot_unref(snapshot);
}

/* libmicrohttpd must not be stopped with suspended connections. */
static void answer_pending(struct api *api)
{
	for (struct api_call *call = api->pending; call; call = call->next)
		if (call->connection && !call->have_outcome)
			api_call_finish(call, (struct api_outcome){ .error = -ECANCELED });
	api_events_end(&api->events);
	for (int i = 0; i < STOP_RUNS; i++)
		(void)MHD_run(api->loop.http);
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

void api_stop(struct api *api)
{
	if (!api)
		return;
	if (api->socket_path)
		remove_socket(api);
	if (api->loop.http && api->loop.resumed)
		answer_pending(api);
	http_loop_stop(&api->loop);
	api_events_done(&api->events);
	orphan_pending(api);
	free(api->socket_path);
	free(api);
}
