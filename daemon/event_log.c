// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/event_log.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/json_text.h"

#define SCHEMA 1

void event_log_init(struct event_log *log)
{
	*log = (struct event_log){ .first = 1, .next = 1 };
}

static void drop_first(struct event_log *log)
{
	struct document **line = &log->lines[log->first++ % EVENT_LOG_LINES];

	if (*line)
		log->bytes -= (*line)->length;
	*line = document_unref(*line);
}

void event_log_done(struct event_log *log)
{
	while (log->first < log->next)
		drop_first(log);
}

static bool event_stamp(json_t *event, uint64_t number)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return json_object_set_new(event, "schema", json_integer(SCHEMA)) == 0 &&
	       json_object_set_new(event, "sequence", json_integer((json_int_t)number)) == 0 &&
	       json_object_set_new(event, "at", json_time(&now)) == 0;
}

struct document *event_line(json_t *event, uint64_t number)
{
	char *text = event && event_stamp(event, number) ? json_dumps(event, JSON_COMPACT) : NULL;
	const size_t length = text ? strlen(text) : 0;

	json_decref(event);
	if (!text)
		return NULL;
	text[length] = '\n'; /* in place of the NUL: a document has none */
	return document_new(text, length + 1);
}

void event_log_add(struct event_log *log, json_t *event)
{
	struct document *line = event_line(event, log->next);

	if (log->next - log->first == EVENT_LOG_LINES)
		drop_first(log);
	log->lines[log->next++ % EVENT_LOG_LINES] = line;
	if (line)
		log->bytes += line->length;
	while (log->bytes > EVENT_LOG_BYTES)
		drop_first(log);
}

struct document *event_log_get(const struct event_log *log, uint64_t number)
{
	struct document *line = number >= log->first && number < log->next
					? log->lines[number % EVENT_LOG_LINES]
					: NULL;

	return line ? document_ref(line) : NULL;
}
