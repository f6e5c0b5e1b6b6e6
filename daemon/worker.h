/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pass thread: runs passes, one after the other, and what the main thread asks for in between. All
 * functions are called on the main thread.
 */
#ifndef PAGEFOLD_DAEMON_WORKER_H
#define PAGEFOLD_DAEMON_WORKER_H

#include <stdbool.h>

#include "daemon/api.h"
#include "daemon/core.h"
#include "daemon/snapshot.h"

struct worker;

/* Starts the thread, which owns core until worker_stop() returns. 0 or -errno. */
int worker_start(struct core *core, struct worker **ret);
/* Interrupts the pass, waits for the thread, answers what still waits with -ECANCELED. */
void worker_stop(struct worker *worker);

/* A reference to the newest snapshot, never NULL. */
struct snapshot *worker_snapshot(struct worker *worker);

/* done is called from worker_dispatch(), or at once where the answer is there already. -EBUSY: too much is
 * waiting. A question (API_MATRIX) is answered between two steps of a pass and does not cut it short. */
int worker_submit(
	struct worker *worker, const struct api_request *request, api_done_fn done, void *token);

/* Takes effect at the next pass, which it brings forward. Takes over the contents of both. */
int worker_reload(struct worker *worker, struct config *config, struct policy_set *policies);

/* Something changed outside (libvirt's domains or their metadata): a pass is brought forward, and one under
 * way cut short, but not more often than every few seconds. Any thread. */
void worker_news(struct worker *worker);

/* Readable when worker_dispatch() has something to do, or there is a new snapshot. */
int worker_fd(const struct worker *worker);
/* Calls the done functions of finished requests. True: --once, and the work is done. */
bool worker_dispatch(struct worker *worker);

/* False: the pass thread has not been heard of for longer than any step of it takes. */
bool worker_is_alive(struct worker *worker);

#endif
