/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's NUMA nodes, and on which of them a process's pages are. */
#ifndef PAGEFOLD_GLUE_NUMA_H
#define PAGEFOLD_GLUE_NUMA_H

#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hypervisor-glue/host_root.h"

#define NUMA_PAGE_BYTES UINT64_C(4096)

/* Of a page that is not there, or is the kernel's zero page. */
#define NUMA_NO_NODE UINT16_MAX

struct numa_node {
	unsigned number;
	cpu_set_t cpus; /* without those beyond CPU_SETSIZE; none: a node of memory alone */
};

struct numa_nodes {
	struct numa_node *nodes; /* ascending */
	size_t count;
};

/*
 * The directories of /sys/devices/system/node (Documentation/ABI/stable/sysfs-devices-node). None
 * where the kernel knows no NUMA. 0 or -errno; the caller ends with numa_nodes_done().
 */
int numa_nodes_read(const struct host_root *root, struct numa_nodes *ret);
void numa_nodes_done(struct numa_nodes *nodes);

/*
 * The nodes of `count` pages, in the order of the addresses (page-aligned, host-virtual): asked of
 * move_pages(2), which moves nothing and faults nothing in. 0; -ESRCH: the process has ended; -EPERM
 * without CAP_SYS_PTRACE for another's; -ENOSYS without NUMA.
 */
int numa_page_nodes(pid_t pid, const uint64_t *addresses, size_t count, uint16_t *ret);

#endif
