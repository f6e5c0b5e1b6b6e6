/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A connection to one libvirt, kept up by itself. libvirt may be absent, restart or hang: every
 * call that can block is made in the link's own thread, libvirt's event loop runs in another, and
 * nobody else ever waits for either. What is known is a table that is replaced as a whole when
 * something changes.
 */
#ifndef PAGEFOLD_GLUE_LIBVIRT_LINK_H
#define PAGEFOLD_GLUE_LIBVIRT_LINK_H

#include <stdint.h>

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

#define LIBVIRT_REASON_BYTES 256

struct libvirt_monitor_call;

/* Has the link's thread send one command of QMP over libvirt's monitor connection, unless the
 * deadline (CLOCK_MONOTONIC) is over by then; libvirt marks the domain as tainted by it
 * (custom-monitor). NULL: no memory. Any thread. */
struct libvirt_monitor_call *libvirt_link_monitor(
	struct libvirt_link *link, const char *uuid, const char *command, uint64_t deadline_ns);
/*
 * Waits for the reply, which may be an error and is the caller's to free, and ends the call; the
 * link may be gone by then. Errors as those of a change of metadata: after -ETIMEDOUT what libvirt
 * is already at may still be carried out. On failure a sentence in reason.
 */
int libvirt_monitor_wait(struct libvirt_monitor_call *call, uint64_t deadline_ns, char **ret_reply,
	char reason[LIBVIRT_REASON_BYTES]);

#endif
