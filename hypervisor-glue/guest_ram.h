/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which parts of a process are guest RAM (or, for a plain process, private anonymous memory), and
 * which of them KSM can never merge, and why. Pure: VMAs in, ranges out.
 */
#ifndef PAGEFOLD_GLUE_GUEST_RAM_H
#define PAGEFOLD_GLUE_GUEST_RAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor-glue/smaps.h"

/* Why KSM never merges a range. The kernel does not say so: it silently does nothing
 * (vma_ksm_compatible() and page_try_share in mm/ksm.c). */
enum ram_verdict {
	RAM_MERGEABLE, /* KSM could */
	RAM_SHARED,    /* MAP_SHARED: share=on, memfd, vhost-user */
	RAM_FILE,      /* MAP_PRIVATE of a file: only what the guest wrote is anonymous */
	RAM_HUGETLB,
	RAM_PINNED,       /* VFIO holds references on every page */
	RAM_UFFD,         /* userfaultfd registered: post-copy under way */
	RAM_DEVICE,       /* PFN map or IO */
	RAM_CONFIDENTIAL, /* SEV, TDX: encrypted, or in guest_memfd */
	RAM_VERDICT_COUNT,
};

/* One sentence for an operator. */
const char *ram_verdict_text(enum ram_verdict verdict);

struct ram_range {
	uint64_t start, end; /* page-aligned host-virtual addresses */
	enum ram_verdict verdict;
};

struct guest_ram_hints {
	bool is_vm;         /* false: a plain process, all its private anonymous memory counts */
	uint64_t ram_bytes; /* declared by the VMM; 0: unknown */
	bool has_vfio, confidential;
};

/*
 * Ranges in ascending order, neighbours that our own marking split coalesced again (marks and
 * huge-page advice are not a border), in memory the caller frees.
 *
 * For a VM: anonymous private writable memory that the VMM advised as guest RAM (hg, or mg) or that
 * is as large as the declared RAM, or at least 16 MiB (what one backend or hot-plugged DIMM has at
 * the least); the heap and executable memory (TCG's translation buffer) never. Shared, hugetlb and
 * file-backed memory of at least that size is reported with its verdict. For a process: every
 * private anonymous writable mapping of 64 KiB or more, heap included, stacks not.
 */
int guest_ram_map(const struct vma *vmas, size_t vma_count, const struct guest_ram_hints *hints,
	struct ram_range **ret_ranges, size_t *ret_count);

#endif
