/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What this kernel offers, less what --disable-feature took away. */
#ifndef PAGEFOLD_DAEMON_FEATURES_H
#define PAGEFOLD_DAEMON_FEATURES_H

#include <stdbool.h>

#include "hypervisor-glue/host_root.h"

enum feature {
	FEATURE_PAGEMAP_SCAN,   /* PAGEMAP_SCAN, Linux 6.7; else /proc/PID/pagemap */
	FEATURE_SMAPS_KSM,      /* KSM: in smaps, Linux 6.8; else Rss - Pss and frame flags */
	FEATURE_SMART_SCAN,     /* ksm/smart_scan, Linux 6.7: there is something to switch off */
	FEATURE_KSM_ZERO_PAGES, /* ksm/ksm_zero_pages, Linux 6.6: zero folds can be undone and counted */
	FEATURE_RING,           /* io_uring as a way into a process */
	FEATURE_COLLAPSE,       /* MADV_COLLAPSE, Linux 6.1: huge pages are rebuilt on release */
	FEATURE_COUNT,
};

struct features {
	bool have[FEATURE_COUNT];
};

const char *feature_name(enum feature feature);
/* -EINVAL: no such feature. */
int feature_parse(const char *name, enum feature *ret);
/* disabled: what the operator switched off; from now on root is that of a kernel without it. */
void features_probe(struct host_root *root, const bool disabled[FEATURE_COUNT],
	struct features *ret);

#endif
