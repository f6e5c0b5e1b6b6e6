/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fingerprints of VMs that do not exist, in a core as the daemon's stages work on.
 *
 * What the VMs share is in files; how many VMs hold a file is drawn so that each size of audience has
 * as many files as any other (Zipf): base systems that all have, applications that two have. A VM has
 * its files' pages in runs of up to 64, in an order of its own, 93 % of them in extents that are half
 * to wholly twins, the rest one by one anywhere: as was measured on idle Debian guests. One file in
 * twenty is there twice. 15 % of the pages are twins, 15 % zero (some extents mostly so, few
 * everywhere), the others nobody else has. No two contents have the same fingerprint, so that what was
 * laid out is exactly what must be counted.
 */
#ifndef PAGEFOLD_TOOLS_SIMULATED_HOST_H
#define PAGEFOLD_TOOLS_SIMULATED_HOST_H

#include "daemon/core.h"
#include "hashing/twin_index.h"

struct simulated_host {
	size_t vm_count, vm_extents;
	unsigned plain_one_in; /* so many extents have no huge page; 0: all have one */
	struct core core;
	struct twin_sums truth; /* what must be counted */
};

/* Fills core and truth; ends the program where it cannot. */
void simulated_host_lay_out(struct simulated_host *host);

#endif
