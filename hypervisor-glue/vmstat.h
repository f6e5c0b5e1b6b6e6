/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Event counters of /proc/vmstat. */
#ifndef PAGEFOLD_GLUE_VMSTAT_H
#define PAGEFOLD_GLUE_VMSTAT_H

#include <stdint.h>

#include "hypervisor-glue/host_root.h"

/*
 * How many KSM pages were copied on a write, on the whole host since it booted (cow_ksm;
 * do_wp_page() in mm/memory.c counts it). Writes to the kernel's zero page are not in it; what
 * MADV_UNMERGEABLE copies back is. -ENOENT: this kernel does not count them (before Linux 5.18, or
 * without CONFIG_KSM).
 */
int vmstat_cow_ksm_read(const struct host_root *root, uint64_t *ret);
/* The same over the text of such a file. */
int vmstat_cow_ksm_parse(const char *text, uint64_t *ret);

#endif
