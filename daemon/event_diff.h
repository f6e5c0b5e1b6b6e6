/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What happened between two snapshots, told as events. Pure: no clock, no socket. */
#ifndef PAGEFOLD_DAEMON_EVENT_DIFF_H
#define PAGEFOLD_DAEMON_EVENT_DIFF_H

#include <jansson.h>

#include "daemon/snapshot.h"

struct event_diff {
	struct snapshot *last;   /* a reference; NULL: not begun */
	int64_t *told_reclaimed; /* by VM of last: as of its last event; NULL: no memory for it */
	/* A reference: the newest of another pass than those before it. Sentences come up in the
	 * course of a pass, and are whole in the first snapshot that bears a new number. */
	struct snapshot *whole;
};

/* Takes over the event, an object with "event" and what belongs to it; NULL: no memory for this
 * one. */
typedef void (*event_fn)(void *arg, json_t *event);

/* From here on. Takes its own reference. */
void event_diff_begin(struct event_diff *diff, struct snapshot *snapshot);
/* Tells what is different, and goes on from there. The same snapshot again is nothing new. */
void event_diff_step(struct event_diff *diff, struct snapshot *snapshot, event_fn tell, void *arg);
void event_diff_end(struct event_diff *diff);

#endif
