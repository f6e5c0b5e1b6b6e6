/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who drives ksmd. KSM is one per host and has one set of knobs, so there is one driver: we, if nobody
 * else does; and what we change we owe back.
 */
#ifndef PAGEFOLD_DAEMON_DRIVER_H
#define PAGEFOLD_DAEMON_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/config.h"
#include "hypervisor-glue/host_root.h"
#include "hypervisor-glue/ksm.h"
#include "hypervisor-glue/process_table.h"

enum driver_status {
	DRIVER_READY,          /* the lock is ours and nobody else drives */
	DRIVER_NO_KSM,         /* no KSM in this kernel, or its knobs are not writable for us */
	DRIVER_OTHER_PAGEFOLD, /* another pagefoldd holds the lock */
	DRIVER_OTHER_OWNER,    /* ksmd runs, and we did not start it */
	DRIVER_STAND_BY,       /* told not to */
};

struct driver {
	enum driver_status status;
	char *reason;          /* why not DRIVER_READY; NULL when it is */
	int lock_fd;           /* -1: not held */
	bool owes;             /* knobs were changed: */
	struct ksm_knobs owed; /* as they were before */
	pid_t ksmd_pid;        /* cache */
	uint64_t ksmd_cpu_ns;  /* spent in our bursts */
	bool parked;           /* we stopped ksmd at the end of a full scan: */
	uint64_t parked_scans; /* that one */
	int64_t scan_pages;    /* of the last whole scan that was seen; 0: none was */
};

void driver_init(struct driver *driver);
/* Lets go of the lock; the knobs must have been restored. */
void driver_done(struct driver *driver);

/* Looks who drives, takes the lock where it is free and wanted; told to stand by, it gives back what is owed
 * and the lock. processes: who runs now. Call at each pass. */
void driver_survey(struct driver *driver, const struct host_root *root,
	const struct process_table *processes, enum ksm_owner owner);

/* "pagefold", "another pagefold", "other", "stand-by" or "none". */
const char *driver_name(const struct driver *driver);

/* Writes back what is owed. With keep_stopped ksmd stays stopped even where it ran before, and the
 * debt stays. 0 or -errno. */
int driver_restore(struct driver *driver, const struct host_root *root, bool keep_stopped);

#endif
