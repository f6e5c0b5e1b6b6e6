/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libvirt_link.c (for everybody) and libvirt_link_thread.c (inside the link) share.
 *
 * Three threads meet here. The link's own makes every call that may block. libvirt's event loop
 * brings the events, and a timer that sees when a call lasts too long: then waiting changes are
 * answered, and the table says so. Everybody else only takes locks that none of them holds across a
 * call to libvirt.
 */
#ifndef PAGEFOLD_GLUE_LIBVIRT_LINK_INTERNAL_H
#define PAGEFOLD_GLUE_LIBVIRT_LINK_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "hypervisor-glue/libvirt_connection.h"
#include "hypervisor-glue/libvirt_job.h"
#include "hypervisor-glue/libvirt_link.h"

struct libvirt_link {
	atomic_int references; /* the owner, the thread, the timer, each callback libvirt holds */
	char *uri;
	struct libvirt_listener listener;
	pthread_t thread;
	int timer;

	/* the link's thread only */
	struct libvirt_connection connection;
	uint64_t retry_ns;

	/* Taken before lock, and held while events are told and changes answered. */
	pthread_mutex_t telling;
	struct libvirt_link_events events; /* changed is NULL: nobody listens any more */
	struct libvirt_job *running;

	pthread_mutex_t lock; /* for all below */
	pthread_cond_t wake;
	bool quit, lost;
	const char *lost_why; /* a literal */
	bool busy, slow;      /* inside a call; for so long that the table says so */
	uint64_t busy_until_ns;
	struct libvirt_changes changes;
	struct libvirt_job *jobs;
	struct libvirt_domains *domains;
};

/* void *: also for libvirt, which frees with it what it was given to hold. */
void libvirt_link_unref(void *link);

/* The link's thread does it, and frees it. */
void libvirt_link_submit(struct libvirt_link *link, struct libvirt_job *job);

/* The thread. It has a reference to the link and to libvirt's loop, and gives them back at its end.
 */
void *libvirt_link_main(void *link);
/* The timer, in libvirt's loop. */
void libvirt_link_on_impatience(int timer, void *link);

/* Calls take a millisecond, or some hundreds where a libvirtd has just been started. */
#define LIBVIRT_PATIENCE_MS 5000
#define LIBVIRT_PATIENCE_NS (LIBVIRT_PATIENCE_MS * NS_PER_MS)

#endif
