// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/libvirt_link_internal.h"
#include "hypervisor-glue/libvirt_loop.h"

/* A libvirtd that is restarted is away for a second or so. An attempt that fails takes less than a
 * millisecond, so one that is not there at all may be asked for as often. */
#define RETRY_NS (2 * NS_PER_S)

#define TIMER_SLACK_NS (50 * NS_PER_MS) /* libvirt's timers go off up to 20 ms early */

/* Longer than any command that is meant to end. */
#define COMMAND_PATIENCE_NS (600 * NS_PER_S)

/* ---- what is known ---- */

/* Takes the table over. only_if_slow: the call that lasted too long may have ended meanwhile, and
 * what it brought is newer. */
static void link_publish(
	struct libvirt_link *link, struct libvirt_domains *domains, bool only_if_slow)
{
	struct libvirt_domains *superseded = domains;

	pthread_mutex_lock(&link->telling);
	pthread_mutex_lock(&link->lock);
	if (!only_if_slow || link->slow) {
		superseded = link->domains;
		link->domains = domains;
	}
	pthread_mutex_unlock(&link->lock);
	if (superseded != domains && link->events.changed)
		link->events.changed(link->events.data);
	pthread_mutex_unlock(&link->telling);
	libvirt_domains_unref(superseded);
}

/* What libvirt said last holds on while it does not answer: a VM does not lose its policy by that.
 */
static void link_publish_trouble(struct libvirt_link *link, const char *what, bool only_if_slow)
{
	struct libvirt_domains *old = libvirt_link_domains(link);
	struct libvirt_domains *domains = NULL;
	_cleanup_free_ char *trouble = NULL;

	if (asprintf(&trouble, "libvirt at %s: %s", link->uri, what) < 0)
		trouble = NULL;
	/* Said once, not at every attempt. */
	if (trouble && (!old->trouble || strcmp(old->trouble, trouble) != 0))
		domains = libvirt_domains_with_trouble(old, trouble);
	libvirt_domains_unref(old);
	if (domains)
		link_publish(link, domains, only_if_slow);
}

/* ---- calls that last ---- */

static void link_call_begin_for(struct libvirt_link *link, uint64_t patience_ns)
{
	pthread_mutex_lock(&link->lock);
	link->busy = true;
	link->busy_until_ns = clock_monotonic_ns() + patience_ns;
	pthread_mutex_unlock(&link->lock);
	virEventUpdateTimeout(link->timer, (int)(patience_ns / NS_PER_MS));
}

static void link_call_begin(struct libvirt_link *link)
{
	link_call_begin_for(link, LIBVIRT_PATIENCE_NS);
}

static void link_call_end(struct libvirt_link *link)
{
	virEventUpdateTimeout(link->timer, -1);
	pthread_mutex_lock(&link->lock);
	if (link->slow)
		/* The table says that libvirt does not answer: make another. */
		libvirt_changes_add(&link->changes, NULL);
	link->busy = link->slow = false;
	pthread_mutex_unlock(&link->lock);
}

void libvirt_link_on_impatience(int timer, void *data)
{
	static const char what[] = "it does not answer";
	struct libvirt_link *link = data;
	struct libvirt_job *waiting = NULL;

	virEventUpdateTimeout(timer, -1);
	pthread_mutex_lock(&link->telling);
	pthread_mutex_lock(&link->lock);
	/* Not for a call that has begun since this went off. */
	if (!link->busy || clock_monotonic_ns() + TIMER_SLACK_NS < link->busy_until_ns) {
		pthread_mutex_unlock(&link->lock);
		pthread_mutex_unlock(&link->telling);
		return;
	}
	link->slow = true;
	waiting = link->jobs;
	link->jobs = NULL;
	pthread_mutex_unlock(&link->lock);
	if (link->running)
		libvirt_job_answer(link->running, -ETIMEDOUT, what);
	libvirt_job_answer_all(&waiting, -ETIMEDOUT, what);
	pthread_mutex_unlock(&link->telling);
	link_publish_trouble(link, what, true);
}

/* ---- the link's thread ---- */

static void link_fail(struct libvirt_link *link, const char *why)
{
	link_publish_trouble(link, why, false);
	link_call_begin(link);
	libvirt_connection_close(&link->connection);
	link_call_end(link);
	link->retry_ns = clock_monotonic_ns() + RETRY_NS;
}

static const char *said(const char *message)
{
	return message ? message : "out of memory";
}

/* First the events, then the list: nothing falls in between. */
static void link_open(struct libvirt_link *link)
{
	_cleanup_free_ char *message = NULL;
	int r;

	pthread_mutex_lock(&link->lock);
	link->lost = false;
	link->changes = (struct libvirt_changes){ .all = true };
	pthread_mutex_unlock(&link->lock);
	link_call_begin(link);
	r = libvirt_connection_open(link->uri, &link->listener, &link->connection, &message);
	link_call_end(link);
	if (r < 0)
		link_fail(link, said(message));
}

static void link_refresh(struct libvirt_link *link)
{
	struct libvirt_domains *old = libvirt_link_domains(link);
	_cleanup_free_ char *message = NULL;
	struct libvirt_domains *domains;
	struct libvirt_changes changes;
	int r;

	pthread_mutex_lock(&link->lock);
	changes = link->changes;
	link->changes = (struct libvirt_changes){ .all = false };
	pthread_mutex_unlock(&link->lock);
	link_call_begin(link);
	r = libvirt_domains_read(link->connection.handle, old, &changes, &domains, &message);
	link_call_end(link);
	libvirt_domains_unref(old);
	if (r == 0)
		link_publish(link, domains, false);
	else
		link_fail(link, said(message));
}

/* A change to make, and noted as being made: in one step, so that it is always in one of the two
 * places. */
static struct libvirt_job *link_take_job(struct libvirt_link *link)
{
	struct libvirt_job *job = NULL;

	pthread_mutex_lock(&link->telling);
	pthread_mutex_lock(&link->lock);
	if (!link->quit)
		job = libvirt_job_take(&link->jobs);
	link->running = job;
	pthread_mutex_unlock(&link->lock);
	pthread_mutex_unlock(&link->telling);
	return job;
}

/* QEMU may be at a command for seconds. What nobody waits for any more is not begun: its time was
 * then, not now. */
static int link_run_command(
	struct libvirt_link *link, const struct libvirt_job *job, char **ret_message)
{
	const uint64_t now = clock_monotonic_ns();
	const uint64_t left_ns = job->deadline_ns > now ? job->deadline_ns - now : 0;
	int r;

	if (!left_ns)
		return -ETIMEDOUT;
	link_call_begin_for(link,
		left_ns < LIBVIRT_PATIENCE_NS          ? LIBVIRT_PATIENCE_NS
			: left_ns < COMMAND_PATIENCE_NS ? left_ns
							: COMMAND_PATIENCE_NS);
	r = libvirt_connection_monitor(&link->connection, job->uuid, job->command, ret_message);
	link_call_end(link);
	return r;
}

static void link_run_job(struct libvirt_link *link, struct libvirt_job *job)
{
	_cleanup_free_ char *message = NULL;
	int r = -ENOTCONN;

	if (link->connection.handle && job->command) {
		r = link_run_command(link, job, &message);
	} else if (link->connection.handle) {
		link_call_begin(link);
		r = libvirt_connection_set_metadata(
			&link->connection, job->uuid, job->xml, &message);
		link_call_end(link);
	}
	pthread_mutex_lock(&link->telling);
	link->running = NULL;
	libvirt_job_answer(job, r, r == -ENOTCONN ? "libvirt is not reachable" : message);
	pthread_mutex_unlock(&link->telling);
	libvirt_job_free(job);
}

static bool link_has_work(const struct libvirt_link *link)
{
	if (link->quit || link->jobs)
		return true;
	return link->connection.handle ? link->lost || libvirt_changes_any(&link->changes)
				       : clock_monotonic_ns() >= link->retry_ns;
}

/* Until there is something to do. False: to end. *ret_lost: why the connection is no more, or NULL.
 */
static bool link_wait(struct libvirt_link *link, const char **ret_lost)
{
	const struct timespec retry = {
		.tv_sec = (time_t)(link->retry_ns / NS_PER_S),
		.tv_nsec = (long)(link->retry_ns % NS_PER_S),
	};
	bool quit;

	pthread_mutex_lock(&link->lock);
	while (!link_has_work(link)) {
		if (link->connection.handle)
			pthread_cond_wait(&link->wake, &link->lock);
		else
			(void)pthread_cond_timedwait(&link->wake, &link->lock, &retry);
	}
	quit = link->quit;
	*ret_lost = link->connection.handle && link->lost ? link->lost_why : NULL;
	pthread_mutex_unlock(&link->lock);
	return !quit;
}

static bool link_is_stale(struct libvirt_link *link)
{
	bool stale;

	pthread_mutex_lock(&link->lock);
	stale = libvirt_changes_any(&link->changes);
	pthread_mutex_unlock(&link->lock);
	return stale;
}

void *libvirt_link_main(void *arg)
{
	struct libvirt_link *link = arg;
	struct libvirt_job *job;
	const char *lost;

	while (link_wait(link, &lost)) {
		if (lost)
			link_fail(link, lost);
		while ((job = link_take_job(link)) != NULL)
			link_run_job(link, job);
		if (!link->connection.handle && clock_monotonic_ns() >= link->retry_ns)
			link_open(link);
		if (link->connection.handle && link_is_stale(link))
			link_refresh(link);
	}
	libvirt_connection_close(&link->connection);
	(void)virEventRemoveTimeout(link->timer);
	libvirt_loop_release();
	libvirt_link_unref(link);
	return NULL;
}
