// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/libvirt_job.h"

#include <stdlib.h>
#include <string.h>

struct libvirt_job *libvirt_job_new(
	const char *uuid, const char *xml, libvirt_set_done_fn done, void *token)
{
	struct libvirt_job *job = calloc(1, sizeof(*job));

	if (!job)
		return NULL;
	*job = (struct libvirt_job){ .done = done, .token = token };
	job->uuid = strdup(uuid);
	job->xml = xml ? strdup(xml) : NULL;
	return job->uuid && !job->xml == !xml ? job : libvirt_job_free(job);
}

struct libvirt_job *libvirt_job_free(struct libvirt_job *job)
{
	if (job) {
		free(job->uuid);
		free(job->xml);
		free(job->command);
		free(job);
	}
	return NULL;
}

void libvirt_job_append(struct libvirt_job **queue, struct libvirt_job *job)
{
	while (*queue)
		queue = &(*queue)->next;
	*queue = job;
}

struct libvirt_job *libvirt_job_take(struct libvirt_job **queue)
{
	struct libvirt_job *job = *queue;

	if (job) {
		*queue = job->next;
		job->next = NULL;
	}
	return job;
}

void libvirt_job_answer(struct libvirt_job *job, int error, const char *message)
{
	const libvirt_set_done_fn done = job->done;

	job->done = NULL;
	if (done)
		done(job->token, error, message ? strdup(message) : NULL);
}

void libvirt_job_answer_all(struct libvirt_job **queue, int error, const char *message)
{
	struct libvirt_job *job;

	while ((job = libvirt_job_take(queue)) != NULL) {
		libvirt_job_answer(job, error, message);
		libvirt_job_free(job);
	}
}
