/* SPDX-License-Identifier: GPL-2.0-or-later */
/* /proc/PID/smaps, one record a VMA. Sizes in bytes. */
#ifndef PAGEFOLD_GLUE_SMAPS_H
#define PAGEFOLD_GLUE_SMAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor-glue/host_root.h"

/* VmFlags that matter here (Documentation/filesystems/proc.rst). */
enum vma_flag {
	VMA_MERGEABLE = 1 << 0,  /* mg */
	VMA_HUGEPAGE = 1 << 1,   /* hg */
	VMA_NOHUGEPAGE = 1 << 2, /* nh */
	VMA_HUGETLB = 1 << 3,    /* ht */
	VMA_PFNMAP = 1 << 4,     /* pf */
	VMA_IO = 1 << 5,         /* io */
	VMA_UFFD = 1 << 6,       /* um, uw or ui */
	VMA_MIXEDMAP = 1 << 7,   /* mm */
	VMA_DONTCOPY = 1 << 8,   /* dc */
	VMA_DONTEXPAND = 1 << 9, /* de: of drivers; KSM leaves it alone */
};

enum vma_backing {
	VMA_ANONYMOUS, /* no file, or [heap], [anon:...] */
	VMA_FILE,      /* inode != 0 */
	VMA_SPECIAL,   /* [stack], [vdso], [vvar], ... */
};

struct vma {
	uint64_t start, end;
	bool readable, writable, executable, shared;
	enum vma_backing backing;
	bool heap;  /* [heap]: what brk() gave */
	bool memfd; /* path starts with /memfd: (shared memory, guest_memfd) */
	uint32_t flags;
	uint64_t rss_bytes, pss_bytes, anonymous_bytes, anon_huge_bytes, swap_bytes;
	uint64_t ksm_bytes; /* only where the kernel prints KSM: (smaps_list.has_ksm) */
};

struct smaps_list {
	struct vma *vmas;
	size_t count;
	bool has_ksm;
};

/* Hostile or truncated text: -EINVAL. VMAs that overlap, because the address space changed while it
 * was printed: -ESTALE. The caller ends with smaps_list_done(). */
int smaps_parse(const char *text, size_t length, struct smaps_list *ret);
/* -ESRCH: the process is gone, or has no memory any more. -EACCES: not allowed to look. -ESTALE: it
 * keeps changing its address space; try again later. */
int smaps_read(const struct host_root *root, pid_t pid, struct smaps_list *ret);
/* The VMA that the address is in; NULL: none. It is the list's. */
const struct vma *smaps_find(const struct smaps_list *smaps, uint64_t address);
void smaps_list_done(struct smaps_list *list);

/* Text of /proc/PID/smaps_rollup: the proportional share of all of a process's memory. 0 or -EINVAL. */
int smaps_pss_parse(const char *text, size_t length, uint64_t *ret_bytes);
/* The same of a process: half the price of smaps, and less where marks have cut it into many VMAs. -ESRCH,
 * -EACCES, -EINVAL. */
int smaps_pss_read(const struct host_root *root, pid_t pid, uint64_t *ret_bytes);

#endif
