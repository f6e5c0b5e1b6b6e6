// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/job.h"

#include <errno.h>
#include <stdlib.h>

struct job *job_new(const struct api_request *request, api_done_fn done, void *token)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job)
		*job = (struct job){ .request = *request, .done = done, .token = token };
	return job;
}

void job_append(struct job **list, struct job *job)
{
	while (*list)
		list = &(*list)->next;
	job->next = NULL;
	*list = job;
}

struct job *job_take_first(struct job **list)
{
	struct job *job = *list;

	if (job)
		*list = job->next;
	return job;
}

void job_end(struct job *job)
{
	job->done(job->token, job->outcome);
	free(job);
}

void jobs_cancel(struct job **list)
{
	struct job *job;

	while ((job = job_take_first(list))) {
		free(job->outcome.message);
		(void)document_unref(job->outcome.document);
		job->outcome = (struct api_outcome){ .error = -ECANCELED };
		job_end(job);
	}
}
