/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection to one libvirt, kept up by itself. libvirt may be absent, restart or hang: every
 * call that can block is made in the link's own thread, libvirt's event loop runs in another, and
 * nobody else ever waits for either. What is known is a table that is replaced as a whole when
 * something changes.
 */
#ifndef PAGEFOLD_GLUE_LIBVIRT_LINK_H
#define PAGEFOLD_GLUE_LIBVIRT_LINK_H

#include "hypervisor-glue/libvirt_domains.h"

struct libvirt_link;

/* Called from the link's threads, one at a time, and never after libvirt_link_stop(): quick,
 * thread-safe, not stopping the link. */
struct libvirt_link_events {
	void (*changed)(
		void *data); /* there is a new table, or some domain's devices have changed */
	void *data;
};

/* Returns at once; the connection comes up, and after every failure comes up again, by itself.
 * 0 or -errno. */
int libvirt_link_start(
	const char *uri, const struct libvirt_link_events *events, struct libvirt_link **ret);
/* Waits for the call under way, at most some seconds: a thread that hangs in libvirt even then is
 * left to itself, and tells nobody anything any more. NULL is fine. */
void libvirt_link_stop(struct libvirt_link *link);

const char *libvirt_link_uri(const struct libvirt_link *link);
/*
 * A reference to the newest table, never NULL. While libvirt is not reachable or does not answer it
 * holds what libvirt said last, and trouble says why.
 */
struct libvirt_domains *libvirt_link_domains(struct libvirt_link *link);

/* How a change of metadata ended: 0, or -errno and a sentence, which is the receiver's to free
 * (NULL: no memory for it). */
typedef void (*libvirt_set_done_fn)(void *token, int error, char *message);

/*
 * Writes (or with xml NULL removes) the element of our namespace in a domain's metadata: live where
 * it runs, and in its persistent definition where it has one. done is called exactly once, as the
 * events above are, at the latest by libvirt_link_stop(): -EIO libvirt refuses, -ENOTCONN not
 * reachable, -ETIMEDOUT it does not answer (and may yet do it, if it ever comes back), -ECANCELED
 * the link was stopped. Returns 0, or -ENOMEM and then done is not called.
 */
int libvirt_link_set_metadata(struct libvirt_link *link, const char *uuid, const char *xml,
	libvirt_set_done_fn done, void *token);

#endif
