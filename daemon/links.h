/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The libvirts of the configuration, and what they say together. Any thread. */
#ifndef PAGEFOLD_DAEMON_LINKS_H
#define PAGEFOLD_DAEMON_LINKS_H

#include <stddef.h>

#include "hypervisor-glue/libvirt_link.h"

struct links;

/* No link yet; events as those of a link. NULL: no memory. */
struct links *links_new(const struct libvirt_link_events *events);
void links_free(struct links *links); /* NULL is fine */

/* Connects to the URIs, separated by blanks or commas, and lets go of those that are not among them. "" is
 * none. Main thread. 0 or -errno. */
int links_configure(struct links *links, const char *uris);

/* What each link says now (NULL: there are no libvirts); the caller ends with links_tables_done(). */
struct links_tables {
	struct libvirt_domains **tables;
	size_t count;
};
int links_tables(struct links *links, struct links_tables *ret);
void links_tables_done(struct links_tables *tables);
/* NULL: no libvirt knows it. */
const struct libvirt_domain *links_tables_find(const struct links_tables *tables, const char *uuid);

/* Writes a domain's metadata through the link that knows it. -ENOENT: none does. done as
 * libvirt_link_set_metadata(). */
int links_set_metadata(struct links *links, const char *uuid, const char *xml,
	libvirt_set_done_fn done, void *token);

/* One command of QMP to a domain's monitor, as libvirt_link_monitor() and libvirt_monitor_wait(). -ENOENT: no
 * link knows the domain. */
int links_monitor(struct links *links, const char *uuid, const char *command, uint64_t deadline_ns,
	char **ret_reply, char reason[LIBVIRT_REASON_BYTES]);

#endif
