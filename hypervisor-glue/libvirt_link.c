// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/libvirt_link_internal.h"
#include "hypervisor-glue/libvirt_loop.h"

/* For the call under way when the link is stopped. */
#define STOP_PATIENCE_NS (3 * NS_PER_S)

static void link_ref(void *data)
{
	struct libvirt_link *link = data;

	atomic_fetch_add(&link->references, 1);
}

void libvirt_link_unref(void *data)
{
	struct libvirt_link *link = data;

	if (atomic_fetch_sub(&link->references, 1) != 1)
		return;
	pthread_cond_destroy(&link->wake);
	pthread_mutex_destroy(&link->lock);
	pthread_mutex_destroy(&link->telling);
	libvirt_domains_unref(link->domains);
	free(link->uri);
	free(link);
}

/* ---- from libvirt's event loop: note it, no more ---- */

static void link_lost(void *data, const char *why)
{
	struct libvirt_link *link = data;

	pthread_mutex_lock(&link->lock);
	link->lost = true;
	link->lost_why = why;
	pthread_cond_signal(&link->wake);
	pthread_mutex_unlock(&link->lock);
}

static void link_heard(void *data, const char *uuid)
{
	struct libvirt_link *link = data;

	pthread_mutex_lock(&link->lock);
	libvirt_changes_add(&link->changes, uuid);
	pthread_cond_signal(&link->wake);
	pthread_mutex_unlock(&link->lock);
}

/* ---- starting and stopping ---- */

/* Answers what nobody will do any more. */
static void link_cancel_jobs(struct libvirt_link *link)
{
	static const char what[] = "the connection to libvirt is being given up";
	struct libvirt_job *waiting;

	pthread_mutex_lock(&link->telling);
	pthread_mutex_lock(&link->lock);
	waiting = link->jobs;
	link->jobs = NULL;
	pthread_mutex_unlock(&link->lock);
	if (link->running)
		libvirt_job_answer(link->running, -ECANCELED, what);
	libvirt_job_answer_all(&waiting, -ECANCELED, what);
	link->events.changed = NULL;
	pthread_mutex_unlock(&link->telling);
}

static struct libvirt_link *link_new(const char *uri, const struct libvirt_link_events *events)
{
	struct libvirt_link *link = calloc(1, sizeof(*link));
	_cleanup_free_ char *trouble = NULL;
	pthread_condattr_t monotonic;

	if (!link)
		return NULL;
	atomic_init(&link->references, 1);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&link->wake, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_init(&link->lock, NULL);
	pthread_mutex_init(&link->telling, NULL);
	link->events = *events;
	link->listener = (struct libvirt_listener){ link_lost, link_heard, link_ref,
		libvirt_link_unref, link };
	link->uri = strdup(uri);
	if (asprintf(&trouble, "libvirt at %s: it has not answered yet", uri) < 0)
		trouble = NULL;
	link->domains = trouble ? libvirt_domains_new(trouble) : NULL;
	if (link->uri && link->domains)
		return link;
	libvirt_link_unref(link);
	return NULL;
}

/* The timer and the thread, with a reference each. */
static int link_set_up(struct libvirt_link *link)
{
	int error;

	link->timer = virEventAddTimeout(-1, libvirt_link_on_impatience, link, libvirt_link_unref);
	if (link->timer < 0)
		return -ENOMEM;
	link_ref(link);
	link_ref(link);
	error = libvirt_thread_start(&link->thread, libvirt_link_main, link);
	if (!error)
		return 0;
	libvirt_link_unref(link);
	(void)virEventRemoveTimeout(link->timer);
	return error;
}

int libvirt_link_start(
	const char *uri, const struct libvirt_link_events *events, struct libvirt_link **ret)
{
	struct libvirt_link *link = link_new(uri, events);
	int error;

	if (!link)
		return -ENOMEM;
	xmlInitParser(); /* before there are threads */
	error = libvirt_loop_acquire();
	if (!error) {
		error = link_set_up(link);
		if (error)
			libvirt_loop_release();
	}
	if (error) {
		libvirt_link_unref(link);
		return error;
	}
	*ret = link;
	return 0;
}

void libvirt_link_stop(struct libvirt_link *link)
{
	const uint64_t deadline_ns = clock_monotonic_ns() + STOP_PATIENCE_NS;
	const struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / NS_PER_S),
		.tv_nsec = (long)(deadline_ns % NS_PER_S),
	};

	if (!link)
		return;
	pthread_mutex_lock(&link->lock);
	link->quit = true;
	pthread_cond_signal(&link->wake);
	pthread_mutex_unlock(&link->lock);
	if (pthread_clockjoin_np(link->thread, NULL, CLOCK_MONOTONIC, &deadline) != 0)
		(void)pthread_detach(link->thread);
	link_cancel_jobs(link);
	libvirt_link_unref(link);
}

const char *libvirt_link_uri(const struct libvirt_link *link)
{
	return link->uri;
}

struct libvirt_domains *libvirt_link_domains(struct libvirt_link *link)
{
	struct libvirt_domains *domains;

	pthread_mutex_lock(&link->lock);
	domains = libvirt_domains_ref(link->domains);
	pthread_mutex_unlock(&link->lock);
	return domains;
}

void libvirt_link_submit(struct libvirt_link *link, struct libvirt_job *job)
{
	bool slow;

	pthread_mutex_lock(&link->lock);
	libvirt_job_append(&link->jobs, job);
	pthread_cond_signal(&link->wake);
	slow = link->slow;
	if (slow)
		link->busy_until_ns = clock_monotonic_ns() + LIBVIRT_PATIENCE_NS;
	pthread_mutex_unlock(&link->lock);
	if (slow)
		virEventUpdateTimeout(link->timer, LIBVIRT_PATIENCE_MS);
}

int libvirt_link_set_metadata(struct libvirt_link *link, const char *uuid, const char *xml,
	libvirt_set_done_fn done, void *token)
{
	struct libvirt_job *job = libvirt_job_new(uuid, xml, done, token);

	if (!job)
		return -ENOMEM;
	libvirt_link_submit(link, job);
	return 0;
}
