/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far a process's memory has moved, without a look at it: its size, what of it is resident, and
 * how many page faults it took. Reading that costs some microseconds, its smaps ten milliseconds. A
 * write to a folded page is a fault, whether the guest makes it or a thread of the VMM
 * (handle_mm_fault() in mm/memory.c counts both).
 */
#ifndef PAGEFOLD_DAEMON_FOOTPRINT_H
#define PAGEFOLD_DAEMON_FOOTPRINT_H

#include <stdint.h>
#include <sys/types.h>

#include "hypervisor-glue/host_root.h"

struct footprint {
	uint64_t size_pages, resident_pages;
	uint64_t faults; /* ever */
	uint64_t cpu_ns; /* ever, of all its threads; in steps of 10 ms */
};

/* 0, -ESRCH, -EINVAL, -errno. */
int footprint_read(const struct host_root *root, pid_t pid, struct footprint *ret);

/* At most so many pages are not what they were. FOOTPRINT_NEW_LAYOUT: something was mapped or
 * unmapped. */
#define FOOTPRINT_NEW_LAYOUT UINT64_MAX
uint64_t footprint_moved(const struct footprint *then, const struct footprint *now);

#endif
