/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of a process's pages, without touching one: PAGEMAP_SCAN (Linux 6.7), or
 * /proc/PID/pagemap with /proc/kpageflags where that is missing or disabled. Several threads may ask at a
 * time: there is nothing in the struct but descriptors, and nobody seeks.
 */
#ifndef PAGEFOLD_GLUE_PAGEMAP_H
#define PAGEFOLD_GLUE_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor-glue/host_root.h"

#define PAGEMAP_PAGE_BYTES UINT64_C(4096)

struct pagemap {
	int fd;
	int kpageflags_fd, kpagecount_fd; /* -1 without CAP_SYS_ADMIN */
	bool have_scan;
};

/* A run of neighbouring pages that can be read without a fault: present, not swapped, not the
 * kernel's zero page. */
struct page_run {
	uint64_t start, end;
	bool huge; /* mapped by a PMD; in the fallback: a whole huge page in place */
};

struct page_counts {
	uint64_t present;   /* without the zero page */
	uint64_t zero_page; /* mapped to the kernel's zero page */
	uint64_t swapped;
	uint64_t huge; /* pages inside PMD-mapped huge pages */
};

/*
 * allow_scan false forces the fallback. -ESRCH, -EACCES, -errno. Without CAP_SYS_ADMIN the fallback
 * tells neither zero pages nor huge pages apart: all count as present.
 */
int pagemap_open(const struct host_root *root, pid_t pid, bool allow_scan, struct pagemap *ret);
void pagemap_done(struct pagemap *pagemap);
/* False once the process has ended or executed another program: it is to be opened anew. */
bool pagemap_is_current(const struct pagemap *pagemap);

/*
 * Whatever follows answers about the address space the process had at pagemap_open(): -ESRCH, on
 * some kernels nothing present, once it has ended or executed another program. Addresses that are
 * not page-aligned, or start >= end: -EINVAL.
 */

/*
 * Fills runs[] from start up to end; stops when it is full. *ret_walked is the address up to which
 * the answer is complete (== end when done). Holes inside [start, end) are fine.
 */
int pagemap_readable_runs(struct pagemap *pagemap, uint64_t start, uint64_t end,
	struct page_run *runs, size_t max_runs, size_t *ret_count, uint64_t *ret_walked);

/* Adds to nothing: *ret is the counts of [start, end). */
int pagemap_count(struct pagemap *pagemap, uint64_t start, uint64_t end, struct page_counts *ret);

/* One page as /proc/kpageflags and kpagecount see it. */
struct page_frame {
	uint64_t pfn;      /* 0: not present (or not allowed to know) */
	uint32_t mapcount; /* how many page-table entries map the frame; 0 where unknown */
	bool ksm;          /* KPF_KSM */
	bool zero;         /* KPF_ZERO_PAGE */
	bool huge;         /* KPF_THP */
	bool exclusive;    /* pagemap bit 56: mapped by this process only */
};

/* pages consecutive frames from start on. -EPERM without CAP_SYS_ADMIN: numbers are hidden. */
int pagemap_frames(
	struct pagemap *pagemap, uint64_t start, size_t pages, struct page_frame *ret_frames);

/* Whose a page is, as far as the page tables alone tell: cheap, needs no frame numbers. */
enum page_tenure {
	PAGE_NOT_PRESENT,
	PAGE_OWN,    /* mapped by this process only */
	PAGE_SHARED, /* mapped more than once: KSM page, kernel's zero page, or shared by fork */
};

/* One byte (enum page_tenure) for each of the consecutive pages from start on; at most 512. */
int pagemap_tenures(struct pagemap *pagemap, uint64_t start, size_t pages, uint8_t *ret_tenures);
/* The same; and in ret_numbers the frame of each PAGE_SHARED one, 0 of others and without CAP_SYS_ADMIN. */
int pagemap_shared_frames(struct pagemap *pagemap, uint64_t start, size_t pages, uint8_t *ret_tenures,
	uint64_t *ret_numbers);

/* What a page is mapped to: bits of pagemap_kinds(). */
enum page_kind {
	PAGE_KIND_ZERO = 1 << 0, /* the kernel's zero page */
	PAGE_KIND_HUGE = 1 << 1, /* part of a PMD-mapped huge page; in the fallback: of a whole one in place */
};

/* One byte of enum page_kind for each of the consecutive pages from start on. The fallback needs
 * CAP_SYS_ADMIN, without which every kind is 0. */
int pagemap_kinds(struct pagemap *pagemap, uint64_t start, size_t pages, uint8_t *ret_kinds);

#endif
