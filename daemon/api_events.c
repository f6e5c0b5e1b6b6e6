// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/api_events.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"

/* Whoever waits behind a proxy or for a dead machine notices; a line every quarter of a minute is
 * little. */
#define ALIVE_US (15 * NS_PER_S / NS_PER_US)

/* What is asked of us at a time: some ten lines. */
#define BLOCK_BYTES ((size_t)4096)

/* One client. It belongs to its response, and ends with that. */
struct api_stream {
	struct api_events *events;
	struct MHD_Connection *connection;
	uint64_t next;         /* the event that it gets next */
	struct document *line; /* on its way; NULL: none */
	size_t sent;           /* of it */
	sd_event_source *hangup;
	bool asleep; /* suspended, since there is nothing to send */
	bool say_alive, hung_up;
	struct api_stream *following;
};

/* ---- one stream ---- */

static void stream_wake(struct api_stream *stream)
{
	if (!stream->asleep)
		return;
	stream->asleep = false;
	MHD_resume_connection(stream->connection);
	http_loop_wake(stream->events->loop);
}

/* What it has not read in time it is told the number of. */
static struct document *line_lost(struct api_stream *stream)
{
	const uint64_t number = stream->events->log.first;
	struct document *line = event_line(
		json_pack("{ss sI}", "event", "lost", "count", (json_int_t)(number - stream->next)),
		number - 1);

	/* Without memory even for that, it is told the next time. */
	if (line)
		stream->next = number;
	return line;
}

/* NULL: nothing to say. */
static struct document *stream_line(struct api_stream *stream)
{
	const struct event_log *log = &stream->events->log;
	struct document *line = NULL;

	if (stream->next < log->first)
		return line_lost(stream);
	while (!line && stream->next < log->next)
		line = event_log_get(log, stream->next++);
	if (!line && stream->say_alive)
		line = event_line(json_pack("{ss}", "event", "alive"), stream->next - 1);
	stream->say_alive = false;
	return line;
}

static ssize_t on_room(void *data, _unused_ uint64_t position, char *buffer, size_t room)
{
	struct api_stream *stream = data;
	size_t filled = 0;

	while (filled < room) {
		size_t part;

		if (!stream->line)
			stream->line = stream_line(stream);
		if (!stream->line)
			break;
		part = stream->line->length - stream->sent;
		if (part > room - filled)
			part = room - filled;
		memcpy(buffer + filled, stream->line->text + stream->sent, part);
		filled += part;
		stream->sent += part;
		if (stream->sent == stream->line->length) {
			stream->line = document_unref(stream->line);
			stream->sent = 0;
		}
	}
	if (filled)
		return (ssize_t)filled;
	if (stream->hung_up)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (stream->events->ending)
		return MHD_CONTENT_READER_END_OF_STREAM;
	stream->asleep = true;
	MHD_suspend_connection(stream->connection);
	return 0;
}

/* libmicrohttpd does not look at a suspended connection. */
static int on_hangup(
	sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *data)
{
	struct api_stream *stream = data;

	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	stream->hung_up = true;
	stream_wake(stream);
	return 0;
}

/* Of an event of which the hang-up is always told: that is all that is asked for. */
static int stream_watch(struct api_stream *stream)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(stream->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	const int r = info ? sd_event_add_io(stream->events->event, &stream->hangup,
				     info->connect_fd, 0, on_hangup, stream)
			   : -ENOTCONN;

	return r < 0 ? r : 0;
}

static void stream_free(struct api_stream *stream)
{
	if (stream->hangup)
		(void)sd_event_source_set_enabled(stream->hangup, SD_EVENT_OFF);
	(void)sd_event_source_unref(stream->hangup);
	(void)document_unref(stream->line);
	free(stream);
}

/* ---- all of them ---- */

/* Nobody is there any more: nothing is compared, and nothing held. */
static void events_rest(struct api_events *events)
{
	const uint64_t next = events->log.next;

	event_diff_end(&events->diff);
	event_log_done(&events->log);
	event_log_init(&events->log);
	events->log.first = events->log.next = next; /* numbers are not used twice */
	if (events->alive)
		(void)sd_event_source_set_enabled(events->alive, SD_EVENT_OFF);
}

static void on_end(void *data)
{
	struct api_stream *stream = data;
	struct api_events *events = stream->events;
	struct api_stream **link = &events->streams;

	while (*link != stream)
		link = &(*link)->following;
	*link = stream->following;
	stream_free(stream);
	if (--events->stream_count == 0)
		events_rest(events);
}

static int on_alive(sd_event_source *source, uint64_t now_us, void *data)
{
	struct api_events *events = data;

	for (struct api_stream *stream = events->streams; stream; stream = stream->following) {
		stream->say_alive = stream->asleep;
		stream_wake(stream);
	}
	(void)sd_event_source_set_time(source, now_us + ALIVE_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int alive_start(struct api_events *events)
{
	const uint64_t first_us = clock_monotonic_ns() / NS_PER_US + ALIVE_US;
	int r;

	if (!events->alive) {
		r = sd_event_add_time(events->event, &events->alive, CLOCK_MONOTONIC, first_us,
			NS_PER_S / NS_PER_US, on_alive, events);
		return r < 0 ? r : 0;
	}
	r = sd_event_source_set_time(events->alive, first_us);
	return r < 0 ? r : sd_event_source_set_enabled(events->alive, SD_EVENT_ONESHOT);
}

void api_events_init(struct api_events *events, struct http_loop *loop, sd_event *event)
{
	*events = (struct api_events){ .loop = loop, .event = event };
	event_log_init(&events->log);
}

static void on_event(void *events, json_t *event)
{
	event_log_add(&((struct api_events *)events)->log, event);
}

void api_events_step(struct api_events *events, struct snapshot *snapshot)
{
	const uint64_t before = events->log.next;

	if (!events->stream_count)
		return;
	event_diff_step(&events->diff, snapshot, on_event, events);
	if (events->log.next == before)
		return;
	for (struct api_stream *stream = events->streams; stream; stream = stream->following)
		stream_wake(stream);
}

void api_events_end(struct api_events *events)
{
	events->ending = true;
	for (struct api_stream *stream = events->streams; stream; stream = stream->following)
		stream_wake(stream);
}

void api_events_done(struct api_events *events)
{
	events_rest(events);
	(void)sd_event_source_unref(events->alive);
	events->alive = NULL;
}

/* Whoever comes later begins where the others are. */
static int stream_begin(struct api_stream *stream, struct snapshot *snapshot)
{
	struct api_events *events = stream->events;
	int error;

	if (!events->stream_count) {
		error = alive_start(events);
		if (error)
			return error;
		event_diff_begin(&events->diff, snapshot);
	}
	stream->next = events->log.next;
	stream->line = event_line(json_pack("{ss sI}", "event", "start", "pass",
					  (json_int_t)events->diff.last->pass_number),
		stream->next - 1);
	stream->following = events->streams;
	events->streams = stream;
	events->stream_count++;
	return 0;
}

int api_events_open(struct api_events *events, struct MHD_Connection *connection,
	struct snapshot *snapshot, struct MHD_Response **ret)
{
	struct api_stream *stream;
	int error;

	if (events->stream_count == API_STREAMS_MOST)
		return -EBUSY;
	stream = calloc(1, sizeof(*stream));
	if (!stream)
		return -ENOMEM;
	*stream = (struct api_stream){ .events = events, .connection = connection };
	error = stream_watch(stream);
	if (!error)
		error = stream_begin(stream, snapshot);
	if (error) {
		stream_free(stream);
		return error;
	}
	*ret = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_room, stream, on_end);
	if (*ret)
		return 0;
	on_end(stream);
	return -ENOMEM;
}
