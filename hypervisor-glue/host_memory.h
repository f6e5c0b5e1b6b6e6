/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How much memory the host, and the cgroup of a process, can still give. Bytes. */
#ifndef PAGEFOLD_GLUE_HOST_MEMORY_H
#define PAGEFOLD_GLUE_HOST_MEMORY_H

#include <stdint.h>
#include <sys/types.h>

#include "hypervisor-glue/host_root.h"

struct host_memory {
	uint64_t total_bytes, available_bytes, anon_bytes, anon_huge_bytes, swap_free_bytes;
};

int host_memory_parse(const char *meminfo, struct host_memory *ret);
int host_memory_read(const struct host_root *root, struct host_memory *ret);

#define MEMCG_UNLIMITED UINT64_MAX

/*
 * The least room (limit - usage) between the process's memory cgroup and the root, v1 and v2 alike,
 * found through /proc/PID/cgroup and /proc/self/mountinfo. MEMCG_UNLIMITED where nothing limits it.
 * -EXDEV: its cgroup cannot be seen from here (a cgroup namespace).
 */
int memcg_headroom_read(const struct host_root *root, pid_t pid, uint64_t *ret_bytes);

/* The word in brackets of /sys/kernel/mm/transparent_hugepage/enabled. */
enum thp_mode { THP_NEVER, THP_MADVISE, THP_ALWAYS };
int thp_mode_read(const struct host_root *root, enum thp_mode *ret);

/* vm.max_map_count. */
int max_map_count_read(const struct host_root *root, uint64_t *ret);

/* /proc/sys/kernel/random/boot_id without the newline, NUL-terminated. */
#define BOOT_ID_BYTES 37
int boot_id_read(const struct host_root *root, char ret[BOOT_ID_BYTES]);

#endif
