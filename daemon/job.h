/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A request of the main thread's, on its way to the pass thread and back. Lists are kept in order.
 */
#ifndef PAGEFOLD_DAEMON_JOB_H
#define PAGEFOLD_DAEMON_JOB_H

#include "daemon/api.h"

struct job {
	struct api_request request;
	api_done_fn done;
	void *token;
	struct api_outcome outcome;
	struct job *next;
};

/* NULL: no memory. */
struct job *job_new(const struct api_request *request, api_done_fn done, void *token);
void job_append(struct job **list, struct job *job);
/* The first one; NULL: there is none. */
struct job *job_take_first(struct job **list);
/* Tells whoever waits what came of it, and frees the job. Takes over the outcome. */
void job_end(struct job *job);
/* The same for all, which nobody will see to any more. */
void jobs_cancel(struct job **list);

#endif
