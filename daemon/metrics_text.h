/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot as metrics: pure. Names and units follow Prometheus' conventions; pagefoldd(8) lists
 * them. A number that was not measured has no sample.
 */
#ifndef PAGEFOLD_DAEMON_METRICS_TEXT_H
#define PAGEFOLD_DAEMON_METRICS_TEXT_H

#include <stddef.h>

#include "daemon/metrics_format.h"
#include "daemon/snapshot.h"

/* VMs and processes with samples of their own. The others are one sum with the label rest="yes", so
 * that a scrape stays below some 20,000 samples and five megabytes, whatever is started on the
 * host. */
#define METRICS_VMS_MAX 1000u

/* The text is the caller's to free; NULL: no memory. */
char *metrics_text(const struct snapshot *snapshot, enum metrics_format format);

#endif
