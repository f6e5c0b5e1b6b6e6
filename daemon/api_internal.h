/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the API's files share: api.c owns the socket and its place in the event loop;
 * api_call.c is one request from its first line to its answer; api_routes.c is what can be asked for;
 * api_reply.c is how an answer is written.
 */
#ifndef PAGEFOLD_DAEMON_API_INTERNAL_H
#define PAGEFOLD_DAEMON_API_INTERNAL_H

#include <jansson.h>
#include <microhttpd.h>

#include "common/cleanup.h"
#include "daemon/api.h"
#include "daemon/api_events.h"
#include "daemon/api_parse.h"
#include "daemon/http_loop.h"

#define API_SCHEMA 1

/* A policy has four keys: what needs more than this is no policy. */
#define API_BODY_MAX 4096

struct api_reply {
	unsigned status; /* 0: the answer comes later */
	json_t *body;    /* owned; NULL: out of memory */
	char allow[32];  /* for a 405 */
	struct MHD_Response *response; /* what is no JSON of ours: owned, and there is no body */
};

struct api_call;
typedef struct api_reply (*api_handler)(struct api_call *call);

struct api_route {
	const char *path; /* "*" is a NAME */
	api_handler get, put, post;
};

/*
 * One request. It belongs to the connection and, while pending, to the backend too (as its token): the
 * one that lets go last frees it.
 */
struct api_call {
	struct api *api;
	struct MHD_Connection *connection; /* NULL: gone */
	api_handler handler;
	struct api_path path;
	bool force; /* ?force=1 */
	char body[API_BODY_MAX];
	size_t body_length, body_dropped; /* dropped: beyond API_BODY_MAX */
	bool pending, have_outcome;
	struct api_outcome outcome;
	/* Makes the reply of a call that waited; NULL: the outcome's message. */
	struct api_reply (*reply)(struct api_call *call);
	/* of a PUT of a policy, while it waits: */
	struct snapshot *snapshot;
	const struct snapshot_vm *vm;
	struct policy policy;
	struct api_call *next; /* of the pending ones */
};

/* A policy that was set, until the snapshots show it. */
struct api_set_policy {
	pid_t pid;
	uint64_t pass; /* of the snapshot at that time */
	struct policy policy;
};

/* A set policy is seen in the second pass that ends after it at the latest; whoever sets more than this
 * in that time only loses the merging of keys over the newest ones. */
#define API_SET_POLICIES 64

struct api {
	struct api_backend backend;
	struct http_loop loop;
	char *socket_path;
	dev_t socket_device;
	ino_t socket_inode;
	struct api_call *pending;
	struct api_events events;
	struct api_set_policy set_policies[API_SET_POLICIES];
	size_t set_policy_count;
};

/* api.c: after MHD_resume_connection(), libmicrohttpd wants to be run. */
void api_wake(struct api *api);

/* api_socket.c: a listening socket, -EADDRINUSE where somebody listens there. */
int api_socket_listen(const char *path);

/* api_call.c */
enum MHD_Result api_call_step(void *api, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *upload_data, size_t *upload_data_size,
	void **call);
void api_call_completed(void *api, struct MHD_Connection *connection, void **call,
	enum MHD_RequestTerminationCode why);
/* Hands the request to the backend; the reply comes when that is done. */
struct api_reply api_call_submit(struct api_call *call, const struct api_request *request);
/* The same for call->policy of call->vm. */
struct api_reply api_call_set_policy(struct api_call *call);
/* Answers a call that waits. Takes the outcome. */
void api_call_finish(struct api_call *call, struct api_outcome outcome);

/* api_reply.c */
struct api_reply api_reply_json(unsigned status, json_t *body);
struct api_reply api_reply_error(unsigned status, const char *format, ...) _printf_(2, 3);
/* Of any type, made by the caller. Takes response; NULL: out of memory. */
struct api_reply api_reply_response(
	unsigned status, const char *content_type, struct MHD_Response *response);
/* JSON that is there already. Takes the reference. */
struct api_reply api_reply_document(struct document *document);
/* Takes what the reply owns. */
enum MHD_Result api_reply_send(struct MHD_Connection *connection, struct api_reply reply);

/* api_routes.c: NULL: no such path. */
const struct api_route *api_route_find(const struct api_path *path);

#endif
