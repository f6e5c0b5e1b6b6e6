/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GET /v1/events: what happens, one JSON object a line, for as long as the client stays.
 *
 * While nobody reads, nothing is compared. What is to be sent is held once (event_log.h), and a
 * stream is a place in that list: a client that stalls costs its place, and is closed when it takes
 * nothing for as long as any other client may.
 */
#ifndef PAGEFOLD_DAEMON_API_EVENTS_H
#define PAGEFOLD_DAEMON_API_EVENTS_H

#include <microhttpd.h>
#include <systemd/sd-event.h>

#include "daemon/event_diff.h"
#include "daemon/event_log.h"
#include "daemon/http_loop.h"

/* A dashboard, a log collector and some terminals; the rest of the connections is for requests. */
#define API_STREAMS_MOST 16u

struct api_stream;

struct api_events {
	struct http_loop *loop;
	sd_event *event;
	struct event_diff diff; /* while there are streams */
	struct event_log log;
	struct api_stream *streams;
	size_t stream_count;
	sd_event_source *alive; /* a timer, while there are streams */
	bool ending;
};

/* loop may be one that starts later. */
void api_events_init(struct api_events *events, struct http_loop *loop, sd_event *event);
/* There is a new snapshot: whoever reads is told what happened. */
void api_events_step(struct api_events *events, struct snapshot *snapshot);
/* Every stream ends with the loop's next runs. */
void api_events_end(struct api_events *events);
/* After the loop has stopped. */
void api_events_done(struct api_events *events);

/* A stream of what happens after this snapshot. -EBUSY: there are too many; -ENOMEM. */
int api_events_open(struct api_events *events, struct MHD_Connection *connection,
	struct snapshot *snapshot, struct MHD_Response **ret);

#endif
