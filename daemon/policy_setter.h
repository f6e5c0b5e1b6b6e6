/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps what `pagefold set` is told: in the metadata of a libvirt domain, so that virsh and pagefold always
 * agree, else in policy.d/00-set.conf. Main thread; never waits for libvirt.
 */
#ifndef PAGEFOLD_DAEMON_POLICY_SETTER_H
#define PAGEFOLD_DAEMON_POLICY_SETTER_H

#include <systemd/sd-event.h>

#include "daemon/api.h"
#include "daemon/links.h"
#include "daemon/policy.h"

struct policy_setter;

struct policy_setter_host {
	/* The policy files changed: read them. 0 or -errno, and what is wrong (the caller frees it). */
	int (*reload)(void *data, char **ret_sentence);
	/* The VM's policy was set: what it was released to ends. */
	void (*was_set)(void *data, pid_t pid);
	void *data;
};

int policy_setter_new(sd_event *event, struct links *links, const struct policy_setter_host *host,
	struct policy_setter **ret);
/* Answers what still waits with -ECANCELED. The links must have been stopped. NULL is fine. */
void policy_setter_free(struct policy_setter *setter);

/* done follows on the main thread, exactly once, perhaps before this returns. */
void policy_setter_set(struct policy_setter *setter, const char *policy_dir,
	const struct policy_subject *subject, const struct policy *policy, api_done_fn done,
	void *token);

#endif
