// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/api_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/number.h"
#include "daemon/log.h"
#include "daemon/snapshot_json.h"

/* A body that is too long is read and dropped, so that the client gets to hear why; up to here. */
#define BODY_DROP_MAX ((size_t)1024 * 1024)

static unsigned outcome_status(int error)
{
	switch (error) {
	case 0:
		return MHD_HTTP_OK;
	case -ESRCH:
	case -ENOENT:
		return MHD_HTTP_NOT_FOUND;
	case -EINVAL:
		return MHD_HTTP_BAD_REQUEST;
	case -EBUSY:
	case -EAGAIN:
	case -ECANCELED:
		return MHD_HTTP_SERVICE_UNAVAILABLE;
	default:
		return MHD_HTTP_CONFLICT;
	}
}

static const char *outcome_sentence(const struct api_outcome *outcome)
{
	if (outcome->message)
		return outcome->message;
	if (outcome->error == -EBUSY)
		return "Too many requests are waiting already; try again later.";
	if (outcome->error == -ECANCELED)
		return "The daemon is stopping; the request was not carried out.";
	return strerror(-outcome->error);
}

static struct api_reply outcome_reply(const struct api_outcome *outcome)
{
	const unsigned status = outcome_status(outcome->error);

	if (outcome->error)
		return api_reply_error(status, "%s", outcome_sentence(outcome));
	return api_reply_json(status,
		json_pack("{si so}", "schema", API_SCHEMA, "message", json_text(outcome->message)));
}

static struct api_reply call_reply(struct api_call *call)
{
	return call->reply && !call->outcome.error ? call->reply(call)
						   : outcome_reply(&call->outcome);
}

static void call_free(struct api_call *call)
{
	free(call->outcome.message);
	document_unref(call->outcome.document);
	snapshot_unref(call->snapshot);
	free(call);
}

void api_call_finish(struct api_call *call, struct api_outcome outcome)
{
	call->outcome = outcome;
	call->have_outcome = true;
	MHD_resume_connection(call->connection);
	api_wake(call->api);
}

static void forget_pending(struct api_call *call)
{
	struct api_call **link = &call->api->pending;

	while (*link && *link != call)
		link = &(*link)->next;
	if (*link)
		*link = call->next;
}

static void on_done(void *token, struct api_outcome outcome)
{
	struct api_call *call = token;

	call->pending = false;
	if (call->api)
		forget_pending(call);
	if (call->connection && !call->have_outcome) {
		api_call_finish(call, outcome);
		return;
	}
	/* The daemon is stopping: the client has been told, or is gone. */
	free(outcome.message);
	document_unref(outcome.document);
	if (!call->connection)
		call_free(call);
}

/* Before the backend is asked, since its done() resumes it. */
static void call_suspend(struct api_call *call)
{
	MHD_suspend_connection(call->connection);
	call->pending = true;
	call->next = call->api->pending;
	call->api->pending = call;
}

struct api_reply api_call_submit(struct api_call *call, const struct api_request *request)
{
	const struct api_backend *backend = &call->api->backend;
	int r;

	call_suspend(call);
	r = backend->submit(backend->data, request, on_done, call);
	if (r < 0)
		on_done(call, (struct api_outcome){ .error = r });
	return (struct api_reply){ .status = 0 };
}

struct api_reply api_call_set_policy(struct api_call *call)
{
	const struct api_backend *backend = &call->api->backend;

	call_suspend(call);
	backend->set_policy(backend->data, call->vm, &call->policy, on_done, call);
	return (struct api_reply){ .status = 0 };
}

static bool peer_is_root(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t length = sizeof(peer);

	return info && getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 &&
	       peer.uid == 0;
}

struct query {
	struct api_call *call;
	char unknown[64]; /* "": all were understood */
};

static enum MHD_Result on_argument(
	void *data, _unused_ enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct query *query = data;

	if (strcmp(key, "force") == 0 && value && strcmp(value, "1") == 0)
		query->call->force = true;
	else if (strcmp(key, "force") != 0 || !value || strcmp(value, "0") != 0)
		(void)snprintf(query->unknown, sizeof(query->unknown), "%s", key);
	return MHD_YES;
}

static api_handler handler_of(const struct api_route *route, const char *method)
{
	if (strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0)
		return route->get;
	if (strcmp(method, MHD_HTTP_METHOD_PUT) == 0)
		return route->put;
	if (strcmp(method, MHD_HTTP_METHOD_POST) == 0)
		return route->post;
	return NULL;
}

static struct api_reply wrong_method(const struct api_route *route, const char *method)
{
	struct api_reply reply =
		api_reply_error(MHD_HTTP_METHOD_NOT_ALLOWED, "%.20s is not for this path.", method);

	(void)snprintf(reply.allow, sizeof(reply.allow), "%s%s%s", route->get ? "GET, HEAD, " : "",
		route->put ? "PUT, " : "", route->post ? "POST, " : "");
	if (strlen(reply.allow) > 2)
		reply.allow[strlen(reply.allow) - 2] = '\0';
	return reply;
}

static bool announces_too_much(struct MHD_Connection *connection)
{
	const char *length =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
	uint64_t bytes;

	return length && (number_parse_u64(length, 10, &bytes) < 0 || bytes > API_BODY_MAX);
}

static struct api_reply body_too_large(void)
{
	return api_reply_error(MHD_HTTP_CONTENT_TOO_LARGE,
		"The body is longer than %d bytes; a policy needs less.", API_BODY_MAX);
}

/* All that can be refused before the body has come. Status 0: nothing to refuse. */
static struct api_reply check_request(struct api_call *call, const char *url, const char *method)
{
	struct query query = { .call = call };
	const struct api_route *route;
	const int r = api_path_parse(url, &call->path);

	if (r == -EINVAL)
		return api_reply_error(MHD_HTTP_BAD_REQUEST,
			"The path is wrong: it begins with a slash, and '%%' is followed by two "
			"hexadecimal "
			"digits, not 00.");
	route = r == 0 ? api_route_find(&call->path) : NULL;
	if (!route)
		return api_reply_error(MHD_HTTP_NOT_FOUND, "There is no such path in this API.");
	call->handler = handler_of(route, method);
	if (!call->handler)
		return wrong_method(route, method);
	if (call->handler != route->get && !peer_is_root(call->connection))
		return api_reply_error(MHD_HTTP_FORBIDDEN, "Only root may change something.");
	(void)MHD_get_connection_values(
		call->connection, MHD_GET_ARGUMENT_KIND, on_argument, &query);
	if (query.unknown[0])
		return api_reply_error(MHD_HTTP_BAD_REQUEST,
			"The query has \"%s\", but there is only force=0 or force=1.",
			query.unknown);
	if (announces_too_much(call->connection))
		return body_too_large();
	return (struct api_reply){ .status = 0 };
}

static enum MHD_Result begin_call(struct api *api, struct MHD_Connection *connection,
	const char *url, const char *method, void **ret)
{
	struct api_call *call = calloc(1, sizeof(*call));
	struct api_reply refusal;

	if (!call)
		return MHD_NO;
	call->api = api;
	call->connection = connection;
	*ret = call;
	refusal = check_request(call, url, method);
	return refusal.status ? api_reply_send(connection, refusal) : MHD_YES;
}

static enum MHD_Result take_body(struct api_call *call, const char *bytes, size_t *size)
{
	const size_t room = API_BODY_MAX - call->body_length;
	const size_t taken = *size < room ? *size : room;

	memcpy(call->body + call->body_length, bytes, taken);
	call->body_length += taken;
	call->body_dropped += *size - taken;
	*size = 0;
	return call->body_dropped > BODY_DROP_MAX ? MHD_NO : MHD_YES;
}

/* libmicrohttpd calls this when the headers are there, for each piece of the body, when the request
 * is whole, and again when a suspended call was resumed. */
enum MHD_Result api_call_step(void *api, struct MHD_Connection *connection, const char *url,
	const char *method, _unused_ const char *version, const char *upload_data,
	size_t *upload_data_size, void **call_of_connection)
{
	struct api_call *call = *call_of_connection;
	struct api_reply reply;

	if (!call)
		return begin_call(api, connection, url, method, call_of_connection);
	if (*upload_data_size > 0)
		return take_body(call, upload_data, upload_data_size);
	if (call->have_outcome)
		reply = call_reply(call);
	else if (call->body_dropped > 0)
		reply = body_too_large();
	else
		reply = call->handler(call);
	return reply.status ? api_reply_send(connection, reply) : MHD_YES;
}

void api_call_completed(_unused_ void *api, _unused_ struct MHD_Connection *connection,
	void **call_of_connection, _unused_ enum MHD_RequestTerminationCode why)
{
	struct api_call *call = *call_of_connection;

	if (!call)
		return;
	*call_of_connection = NULL;
	call->connection = NULL;
	if (!call->pending)
		call_free(call);
}
