// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One command over libvirt's own connection to QEMU's monitor. libvirt may hang for as long as it
 * likes: whoever asked goes after the deadline, and what comes then belongs to nobody any more.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "hypervisor-glue/libvirt_job.h"
#include "hypervisor-glue/libvirt_link_internal.h"

struct libvirt_monitor_call {
	pthread_mutex_t lock; /* for all below */
	pthread_cond_t wake;
	int owners; /* who waits, and the job */
	bool done;
	int error;
	char *message; /* the reply, or what went wrong */
};

static void call_unref(struct libvirt_monitor_call *call)
{
	bool last;

	pthread_mutex_lock(&call->lock);
	last = --call->owners == 0;
	pthread_mutex_unlock(&call->lock);
	if (!last)
		return;
	pthread_cond_destroy(&call->wake);
	pthread_mutex_destroy(&call->lock);
	free(call->message);
	free(call);
}

static void on_done(void *token, int error, char *message)
{
	struct libvirt_monitor_call *call = token;

	pthread_mutex_lock(&call->lock);
	call->error = error;
	call->message = message;
	call->done = true;
	pthread_cond_signal(&call->wake);
	pthread_mutex_unlock(&call->lock);
	call_unref(call);
}

static struct libvirt_monitor_call *call_new(void)
{
	struct libvirt_monitor_call *call = calloc(1, sizeof(*call));
	pthread_condattr_t monotonic;

	if (!call)
		return NULL;
	pthread_mutex_init(&call->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&call->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	call->owners = 1;
	return call;
}

struct libvirt_monitor_call *libvirt_link_monitor(
	struct libvirt_link *link, const char *uuid, const char *command, uint64_t deadline_ns)
{
	struct libvirt_monitor_call *call = call_new();
	struct libvirt_job *job;

	if (!call)
		return NULL;
	job = libvirt_job_new(uuid, NULL, on_done, call);
	if (job)
		job->command = strdup(command);
	if (!job || !job->command) {
		libvirt_job_free(job);
		call_unref(call);
		return NULL;
	}
	job->deadline_ns = deadline_ns;
	call->owners++;
	libvirt_link_submit(link, job);
	return call;
}

int libvirt_monitor_wait(struct libvirt_monitor_call *call, uint64_t deadline_ns, char **ret_reply,
	char reason[LIBVIRT_REASON_BYTES])
{
	const struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};
	int error = 0;

	pthread_mutex_lock(&call->lock);
	while (!call->done && !error)
		error = -pthread_cond_timedwait(&call->wake, &call->lock, &deadline);
	if (call->done)
		error = call->error || call->message ? call->error : -ENOMEM;
	if (!error) {
		*ret_reply = call->message;
		call->message = NULL;
	} else {
		snprintf(reason, LIBVIRT_REASON_BYTES, "libvirt: %s",
			call->message ? call->message : strerror(-error));
	}
	pthread_mutex_unlock(&call->lock);
	call_unref(call);
	return error;
}
