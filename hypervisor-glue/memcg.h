/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Internal to host_memory: where the memory cgroup of a process lies in the file system, from the
 * text of /proc/PID/cgroup and /proc/self/mountinfo. Pure.
 */
#ifndef PAGEFOLD_GLUE_MEMCG_H
#define PAGEFOLD_GLUE_MEMCG_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

enum memcg_version { MEMCG_V1, MEMCG_V2 };

struct memcg_path {
	char path[PATH_MAX]; /* directory of the process's cgroup, absolute */
	size_t mount_length; /* its first bytes, the mount point: the last level to look at */
};

/* 0; -ENOENT: no such hierarchy is mounted, or the process is in none; -EXDEV: its cgroup lies
 * outside what is mounted (a cgroup namespace); -EINVAL: not such text. */
int memcg_path_find(const char *cgroup, const char *mountinfo, enum memcg_version version,
	struct memcg_path *ret);

/* limit - usage out of the two files' text; MEMCG_UNLIMITED for "max" and for v1's huge number. */
int memcg_room_parse(const char *limit, const char *usage, uint64_t *ret_bytes);

/* What of the usage the kernel can take back at once, out of memory.stat: pages of files that are neither dirty
 * nor being written. 0 where the text does not say. */
uint64_t memcg_reclaimable_parse(const char *stat, enum memcg_version version);

#endif
