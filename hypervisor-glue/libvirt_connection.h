/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection to libvirt, from its opening to its end, and the events it is listened to for. */
#ifndef PAGEFOLD_GLUE_LIBVIRT_CONNECTION_H
#define PAGEFOLD_GLUE_LIBVIRT_CONNECTION_H

#include <libvirt/libvirt.h>

#define LIBVIRT_EVENTS 5

/* Called from libvirt's event loop: note it, no more. The last two count what libvirt still holds
 * of data: a callback may run, in the loop's thread, after it has been deregistered. */
struct libvirt_listener {
	void (*lost)(void *data, const char *why);
	void (*heard)(void *data, const char *uuid);
	void (*ref)(void *data);
	void (*unref)(void *data);
	void *data;
};

struct libvirt_connection {
	virConnectPtr handle; /* NULL: closed */
	int events[LIBVIRT_EVENTS];
};

/*
 * Opens, listens, and keeps it alive: one that hangs is given up, and its calls with it. The
 * listener must live as long as its data is referenced. Blocks. 0, or -EIO and in *ret_message
 * libvirt's sentence, which the caller frees (NULL: no memory for it).
 */
int libvirt_connection_open(const char *uri, struct libvirt_listener *listener,
	struct libvirt_connection *ret, char **ret_message);
/* Blocks while libvirt hangs. Closed already is fine. */
void libvirt_connection_close(struct libvirt_connection *connection);

/*
 * Writes (or with xml NULL removes) the element of our namespace in a domain's metadata: live where
 * it runs, and in its persistent definition where it has one. Blocks. As libvirt_connection_open().
 */
int libvirt_connection_set_metadata(const struct libvirt_connection *connection, const char *uuid,
	const char *xml, char **ret_message);

/* One command of QMP to the domain's monitor. Blocks. *ret_message is the reply where 0 is
 * returned, else as above. */
int libvirt_connection_monitor(const struct libvirt_connection *connection, const char *uuid,
	const char *command, char **ret_message);

#endif
