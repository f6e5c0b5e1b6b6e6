/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The way to a QEMU's monitor: libvirt's, for a domain of libvirt's, else a socket of QEMU's own. */
#ifndef PAGEFOLD_DAEMON_MONITOR_H
#define PAGEFOLD_DAEMON_MONITOR_H

#include "daemon/core.h"
#include "hypervisor-glue/merge_hook.h"

/* hook_context.monitor; core is the monitor_data. Pass thread. */
int monitor_command(void *core, const struct process *process, const char *command,
	uint64_t deadline_ns, char **ret_reply, char reason[HOOK_REASON_BYTES]);

#endif
