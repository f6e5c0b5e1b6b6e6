// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metrics_listener.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/http_loop.h"
#include "daemon/log.h"
#include "daemon/metrics_http.h"

/* A collector keeps one; this leaves room beside those who connect and say nothing. */
#define CONNECTIONS_MAX 64u

struct metrics_listener {
	sd_event *event;
	metrics_snapshot_fn snapshot;
	void *data;
	struct http_loop loop;
	struct listen_address wanted; /* length 0: none; as configured, while the loop runs */
};

static enum MHD_Result send_response(struct MHD_Connection *connection, unsigned status,
	const char *content_type, const char *allow, struct MHD_Response *response)
{
	enum MHD_Result result = MHD_NO;

	if (!response)
		return MHD_NO;
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type) ==
			MHD_YES &&
		(!allow ||
			MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow) == MHD_YES))
		result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result refuse(
	struct MHD_Connection *connection, unsigned status, const char *allow, const char *sentence)
{
	/* The text is static: it is not copied, and not changed. */
	void *text = (void *)(uintptr_t)sentence;

	return send_response(connection, status, "text/plain; charset=utf-8", allow,
		MHD_create_response_from_buffer(strlen(sentence), text, MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result answer(struct metrics_listener *listener, struct MHD_Connection *connection)
{
	struct snapshot *snapshot = listener->snapshot(listener->data);
	const char *content_type;
	struct MHD_Response *response = metrics_response(connection, snapshot, &content_type);

	snapshot_unref(snapshot);
	return send_response(connection, MHD_HTTP_OK, content_type, NULL, response);
}

/* libmicrohttpd calls this when the headers are there; *seen keeps apart that first call, in which
 * a body cannot be refused any more, from those with pieces of a body and the last one. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url,
	const char *method, _unused_ const char *version, _unused_ const char *upload,
	size_t *upload_size, void **seen)
{
	static char was_seen;

	if (strcmp(url, "/metrics") != 0)
		return refuse(connection, MHD_HTTP_NOT_FOUND, NULL,
			"Here is /metrics only; the rest of the API is on pagefoldd's socket.\n");
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, HEAD",
			"Nothing can be changed here.\n");
	if (!*seen) {
		*seen = &was_seen;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	return answer(data, connection);
}

static void on_completed(_unused_ void *data, _unused_ struct MHD_Connection *connection,
	_unused_ void **seen, _unused_ enum MHD_RequestTerminationCode why)
{
}

int metrics_listener_new(
	sd_event *event, metrics_snapshot_fn snapshot, void *data, struct metrics_listener **ret)
{
	struct metrics_listener *listener = calloc(1, sizeof(*listener));

	if (!listener)
		return -ENOMEM;
	listener->event = event;
	listener->snapshot = snapshot;
	listener->data = data;
	*ret = listener;
	return 0;
}

static int listener_start(struct metrics_listener *listener, const struct listen_address *address,
	struct listen_address *ret_bound)
{
	const struct http_server server = {
		.step = on_request,
		.completed = on_completed,
		.data = listener,
		.connections_max = CONNECTIONS_MAX,
	};
	_cleanup_close_ int fd = listen_address_open(address, ret_bound);
	int r = fd;

	if (fd >= 0)
		r = http_loop_start(&listener->loop, listener->event, &server, &fd);
	if (fd >= 0 && r < 0)
		http_loop_stop(&listener->loop);
	return r;
}

void metrics_listener_configure(
	struct metrics_listener *listener, const struct listen_address *address)
{
	char text[LISTEN_ADDRESS_BYTES];
	struct listen_address bound;
	int r;

	if (listener->loop.http && listen_address_same(&listener->wanted, address))
		return;
	http_loop_stop(&listener->loop);
	listener->wanted = *address;
	if (!address->length)
		return;
	r = listener_start(listener, address, &bound);
	listen_address_text(r < 0 ? address : &bound, text);
	if (r < 0)
		log_error("metrics-listen: %s: %s; there are no metrics over TCP until that is "
			  "different and the configuration is loaded again",
			text, strerror(-r));
	else
		log_info("metrics are at http://%s/metrics", text);
}

void metrics_listener_free(struct metrics_listener *listener)
{
	if (!listener)
		return;
	http_loop_stop(&listener->loop);
	free(listener);
}
