/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/pressure/memory: how much time is lost for want of memory (Linux 4.20, where it is switched
 * on). */
#ifndef PAGEFOLD_GLUE_HOST_PRESSURE_H
#define PAGEFOLD_GLUE_HOST_PRESSURE_H

#include "hypervisor-glue/host_root.h"

/* The percentage of the last ten seconds in which some task waited. 0 or -EINVAL. */
int host_pressure_parse(const char *text, double *ret_percent);
/* -ENOENT, -EOPNOTSUPP: the kernel does not measure it. */
int host_pressure_read(const struct host_root *root, double *ret_percent);

#endif
