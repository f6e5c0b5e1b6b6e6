// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/features.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/mman.h>

#include "common/cleanup.h"
#include "hypervisor-glue/ksm.h"
#include "hypervisor-glue/pagemap.h"
#include "hypervisor-glue/smaps.h"

static const char *const feature_names[FEATURE_COUNT] = {
	[FEATURE_PAGEMAP_SCAN] = "pagemap-scan",
	[FEATURE_SMAPS_KSM] = "smaps-ksm",
	[FEATURE_SMART_SCAN] = "smart-scan",
	[FEATURE_KSM_ZERO_PAGES] = "ksm-zero-pages",
	[FEATURE_RING] = "ring",
	[FEATURE_COLLAPSE] = "collapse",
};

const char *feature_name(enum feature feature)
{
	return feature_names[feature];
}

int feature_parse(const char *name, enum feature *ret)
{
	for (int i = 0; i < FEATURE_COUNT; i++) {
		if (strcmp(name, feature_names[i]))
			continue;
		*ret = (enum feature)i;
		return 0;
	}
	return -EINVAL;
}

static bool probe_pagemap_scan(const struct host_root *root)
{
	struct pagemap pagemap;
	bool have;

	if (pagemap_open(root, getpid(), true, &pagemap) < 0)
		return false;
	have = pagemap.have_scan;
	pagemap_done(&pagemap);
	return have;
}

static bool probe_smaps_ksm(const struct host_root *root)
{
	struct smaps_list smaps;
	bool have;

	if (smaps_read(root, getpid(), &smaps) < 0)
		return false;
	have = smaps.has_ksm;
	smaps_list_done(&smaps);
	return have;
}

/* io_uring can be compiled out or switched off for everybody (kernel.io_uring_disabled = 2). Whether a
 * given process admits a ring is found out when it is attached to. */
static bool probe_ring(const struct host_root *root)
{
	_cleanup_free_ char *disabled = NULL;

	if (host_root_read_proc(root, "sys/kernel/io_uring_disabled", &disabled, NULL) == 0)
		return disabled[0] != '2';
	/* Before Linux 6.6 there was no such switch. */
	return true;
}

/* EINVAL is the answer both to an unknown advice and to a range that cannot be collapsed: so collapse one
 * that can. An answer like "no huge page free" (ENOMEM, EAGAIN) is one of a kernel that knows it. */
static bool probe_collapse(void)
{
	const size_t huge = 2 << 20;
	char *area = mmap(
		NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *aligned;
	bool have;

	if (area == MAP_FAILED)
		return false;
	aligned = (char *)(((uintptr_t)area + huge - 1) / huge * huge);
	*aligned = 1;
	have = madvise(aligned, huge, MADV_COLLAPSE) == 0 || errno != EINVAL;
	(void)munmap(area, 2 * huge);
	return have;
}

static unsigned int lacks_by_will(const bool disabled[FEATURE_COUNT])
{
	return (disabled[FEATURE_SMAPS_KSM] ? HOST_LACKS_SMAPS_KSM : 0) |
		(disabled[FEATURE_SMART_SCAN] ? HOST_LACKS_SMART_SCAN : 0) |
		(disabled[FEATURE_KSM_ZERO_PAGES] ? HOST_LACKS_ZERO_PAGES : 0);
}

void features_probe(struct host_root *root, const bool disabled[FEATURE_COUNT],
	struct features *ret)
{
	struct ksm_counters counters;
	struct ksm_knobs knobs;
	bool have_knobs, have_counters;

	root->lacks = lacks_by_will(disabled);
	have_knobs = ksm_knobs_read(root, &knobs) == 0;
	have_counters = ksm_counters_read(root, &counters) == 0;
	ret->have[FEATURE_PAGEMAP_SCAN] = probe_pagemap_scan(root);
	ret->have[FEATURE_SMAPS_KSM] = probe_smaps_ksm(root);
	ret->have[FEATURE_SMART_SCAN] = have_knobs && knobs.smart_scan != KSM_KNOB_ABSENT;
	ret->have[FEATURE_KSM_ZERO_PAGES] =
		have_counters && counters.ksm_zero_pages != KSM_KNOB_ABSENT;
	ret->have[FEATURE_RING] = probe_ring(root);
	ret->have[FEATURE_COLLAPSE] = probe_collapse();
	for (int i = 0; i < FEATURE_COUNT; i++)
		ret->have[i] = ret->have[i] && !disabled[i];
}
