/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics-listen: GET /metrics over TCP on loopback, for monitoring systems that cannot speak to a
 * Unix socket, and nothing else. It changes nothing, and knows of no other path.
 */
#ifndef PAGEFOLD_DAEMON_METRICS_LISTENER_H
#define PAGEFOLD_DAEMON_METRICS_LISTENER_H

#include <systemd/sd-event.h>

#include "daemon/listen_address.h"
#include "daemon/snapshot.h"

struct metrics_listener;

/* A reference to the newest snapshot, never NULL. */
typedef struct snapshot *(*metrics_snapshot_fn)(void *data);

int metrics_listener_new(
	sd_event *event, metrics_snapshot_fn snapshot, void *data, struct metrics_listener **ret);
/* Listens there from now on, and no longer where it did before; length 0: nowhere. Where that
 * cannot be (the port is taken) the log says so, and the next call tries again: the daemon goes on
 * without. */
void metrics_listener_configure(
	struct metrics_listener *listener, const struct listen_address *address);
void metrics_listener_free(struct metrics_listener *listener); /* NULL is fine */

#endif
