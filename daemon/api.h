/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * HTTP/1.1 and JSON over the Unix socket RUNTIME_DIR/api.sock, on the main thread's event loop. Reading
 * is for root and group pagefold (the socket's mode), changing for root (SO_PEERCRED).
 *
 * The API renders snapshots and passes requests on; it decides nothing.
 */
#ifndef PAGEFOLD_DAEMON_API_H
#define PAGEFOLD_DAEMON_API_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "daemon/document.h"
#include "daemon/policy.h"
#include "daemon/snapshot.h"

/*
 * How a request that took its time ended. As HTTP: -ESRCH and -ENOENT are 404 (the VM is gone), -EINVAL
 * 400, -EBUSY, -ECANCELED and -EAGAIN 503 (try again), every other refusal 409 (as things stand).
 */
struct api_outcome {
	int error;     /* 0 or -errno */
	char *message; /* one sentence for the user; NULL: none; freed by the API */
	struct document *document; /* what was asked for, JSON; NULL: nothing was; a reference */
};

/* Called once, on the main thread, when the request is done; the API owns token. */
typedef void (*api_done_fn)(void *token, struct api_outcome outcome);

enum api_command {
	API_PAUSE,
	API_RESUME,
	API_RELEASE,
	API_MATRIX,   /* a question: between two steps of a pass, which it does not cut short */
	API_END_HOLD, /* of one that was released: its policy was set, be it to what it was before */
};

struct api_request {
	enum api_command command;
	bool all;    /* API_RELEASE of every VM (POST /v1/release) */
	pid_t pid;   /* API_RELEASE, API_END_HOLD of one: which VM of the snapshot it was */
	bool force;  /* API_RELEASE: skip the headroom check (?force=1) */
};

/* What the daemon does for the API. All are called on the main thread. */
struct api_backend {
	struct snapshot *(*snapshot)(void *backend); /* a reference to the newest one, never NULL */
	/* Queues the request; done(token, ...) follows, exactly once, perhaps before this returns.
	 * -EBUSY: queue full. */
	int (*submit)(void *backend, const struct api_request *request, api_done_fn done, void *token);
	/* PUT /v1/vms/NAME/policy: into libvirt's metadata or a policy file. done(token, ...) follows,
	 * exactly once, perhaps before this returns; its message says where the policy is kept, or why not. */
	void (*set_policy)(void *backend, const struct snapshot_vm *vm, const struct policy *policy,
		api_done_fn done, void *token);
	void *data;
};

struct api;

/* Listens on socket_path (0660, group pagefold where it exists; a stale socket is replaced, a live one is
 * -EADDRINUSE). */
int api_start(
	sd_event *event, const char *socket_path, const struct api_backend *backend, struct api **ret);
/* The backend has a new snapshot: whoever reads the events is told. NULL is fine. */
void api_news(struct api *api);
/* Stops listening, answers what waits with 503, removes the socket. NULL is fine. */
void api_stop(struct api *api);

#endif
