/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The part of the metrics that is there once for each VM and process. Its labels are name, uuid and
 * group; a process without a uuid, and one of several that are called the same, has its pid as
 * well, so that no two samples are the same one.
 */
#ifndef PAGEFOLD_DAEMON_METRICS_VMS_H
#define PAGEFOLD_DAEMON_METRICS_VMS_H

#include <stddef.h>

#include "daemon/metrics_format.h"
#include "daemon/snapshot.h"

/* The first max of the snapshot have samples of their own, the others are summed. 0 or -ENOMEM. */
int metrics_vms_write(struct metrics_writer *writer, const struct snapshot *snapshot, size_t max);

#endif
