/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The newest events, as the lines that are sent: one list for all who read them. However many read
 * how slowly, it holds no more than EVENT_LOG_BYTES; what is older is dropped, and who has not read
 * it yet is told how much that was.
 */
#ifndef PAGEFOLD_DAEMON_EVENT_LOG_H
#define PAGEFOLD_DAEMON_EVENT_LOG_H

#include <jansson.h>
#include <stdint.h>

#include "daemon/document.h"

/* A host with a thousand VMs that all change their state three times at once. */
#define EVENT_LOG_LINES 4096u
#define EVENT_LOG_BYTES ((size_t)1 << 20)

struct event_log {
	struct document *lines[EVENT_LOG_LINES]; /* by number, modulo their count */
	uint64_t first, next;                    /* numbers of the oldest, and of the one to come */
	size_t bytes;
};

/* The first event is number 1. */
void event_log_init(struct event_log *log);
void event_log_done(struct event_log *log);

/* Numbers the event, adds the time, and takes it over. NULL, and what there is no memory for, has a
 * number too, so that its loss is noticed. */
void event_log_add(struct event_log *log, json_t *event);

/* Event `number`; NULL: it is not there (any more). The caller owns a reference. */
struct document *event_log_get(const struct event_log *log, uint64_t number);

/* A line with a number and the time, for one reader alone. Takes over the event. NULL: no memory.
 */
struct document *event_line(json_t *event, uint64_t number);

#endif
