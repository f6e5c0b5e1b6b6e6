/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether a VM has started since the last look, without looking at every process: between two
 * passes a glance at the last pid that was given out, and only when that is another one, a look at
 * the processes that are new. What libvirt starts it says itself; this is for all others.
 */
#ifndef PAGEFOLD_DAEMON_NEWCOMERS_H
#define PAGEFOLD_DAEMON_NEWCOMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hypervisor-glue/host_root.h"

struct newcomers {
	uint64_t last_pid;
	pid_t *known; /* ascending: who was there at the last look */
	size_t known_count;
	pid_t *fresh; /* of them, who was not there at the look before */
	size_t fresh_count;
	bool looked;
};

void newcomers_done(struct newcomers *newcomers);

/* The last number of /proc/loadavg. 0 or -EINVAL. */
int newcomers_parse_last_pid(const char *loadavg, uint64_t *ret);

/* A process that was new at the last look is a VM now: it has had the time to become one. The first
 * look finds nobody. Where something cannot be read, nobody came. */
bool newcomers_came(struct newcomers *newcomers, const struct host_root *root);

#endif
