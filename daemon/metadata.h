/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A policy as it stands in a domain's libvirt metadata:
 *   <policy xmlns="urn:pagefold:domain:1" mode="merge" group="web"/>
 * Whoever may edit a domain may write anything there: hostile text.
 */
#ifndef PAGEFOLD_DAEMON_METADATA_H
#define PAGEFOLD_DAEMON_METADATA_H

#include "daemon/policy.h"

#define METADATA_REASON_BYTES 256

/*
 * Sets the attributes of the element in *policy, whose other fields stay. Everything or nothing: on -EINVAL
 * *policy is untouched, and reason says what is wrong. -EOPNOTSUPP: a value of a later version, likewise.
 */
int metadata_parse(const char *xml, struct policy *policy, char reason[METADATA_REASON_BYTES]);

/* The element for a policy, without a namespace (libvirt adds it). The caller frees it. NULL: no memory. */
char *metadata_format(const struct policy *policy);

#endif
