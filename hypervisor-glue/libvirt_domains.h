/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What libvirt says of its running domains, at one moment: immutable, reference-counted, handed
 * from the link's threads to whoever asks.
 */
#ifndef PAGEFOLD_GLUE_LIBVIRT_DOMAINS_H
#define PAGEFOLD_GLUE_LIBVIRT_DOMAINS_H

#include <libvirt/libvirt.h>
#include <stdbool.h>
#include <stddef.h>

#include "hypervisor-glue/libvirt_xml.h"
#include "hypervisor-glue/vmm.h"

#define LIBVIRT_METADATA_URI "urn:pagefold:domain:1"
#define LIBVIRT_METADATA_KEY "pagefold"

struct libvirt_domain {
	char uuid[VMM_UUID_BYTES]; /* lower case: what QEMU's command line carries, too */
	unsigned id;               /* libvirt's: another one each time the domain is started */
	char *policy_xml;          /* the element of our namespace; NULL: none. Foreign text */
	bool nosharepages;         /* <memoryBacking><nosharepages/>, or its XML cannot be read */
	bool arriving; /* being migrated here or restored, and has not run here yet, or not known */
};

struct libvirt_domains {
	int references; /* atomic */
	struct libvirt_domain *domains;
	size_t count;
	char *trouble; /* why this is not the state of things: not connected; NULL: it is */
};

/* Which domains something was heard of. */
#define LIBVIRT_CHANGES_MOST 64 /* more at once: it is cheaper to ask for them all */
struct libvirt_changes {
	bool all;
	size_t count;
	char uuids[LIBVIRT_CHANGES_MOST][VMM_UUID_BYTES];
};

/* Empty, with one reference; trouble is copied and may be NULL. NULL: no memory. */
struct libvirt_domains *libvirt_domains_new(const char *trouble);
/* The same domains with that trouble. NULL: no memory. */
struct libvirt_domains *libvirt_domains_with_trouble(
	const struct libvirt_domains *domains, const char *trouble);
struct libvirt_domains *libvirt_domains_ref(struct libvirt_domains *domains);
struct libvirt_domains *libvirt_domains_unref(struct libvirt_domains *domains); /* NULL is fine */
const struct libvirt_domain *libvirt_domains_find(
	const struct libvirt_domains *domains, const char *uuid);

/* uuid NULL: any domain may have changed. */
void libvirt_changes_add(struct libvirt_changes *changes, const char *uuid);
bool libvirt_changes_any(const struct libvirt_changes *changes);

/*
 * Asks libvirt which domains run, and for what has changed in them since old was made. Blocks as
 * long as libvirt does. A domain that ends meanwhile is left out. 0, -ENOMEM, or -EIO where libvirt
 * refuses or is gone: then *ret_message is its sentence, which the caller frees (NULL: no memory
 * for it).
 */
int libvirt_domains_read(virConnectPtr connection, const struct libvirt_domains *old,
	const struct libvirt_changes *changes, struct libvirt_domains **ret, char **ret_message);

#endif
