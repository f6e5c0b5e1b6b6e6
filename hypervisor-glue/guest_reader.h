/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads guest memory, without changing it in any way. It is the caller's business to hand in only pages
 * that are there (pagemap_readable_runs): a read of a hole or of a swapped page would fault it in. Between
 * the two looks a page may still go; then at most that page is faulted in.
 *
 * And to tell a process's own pages from shared ones (pagemap_tenures): process_vm_readv pins what it reads,
 * and since Linux 6.0 the kernel gives a process its private copy of a shared anonymous page before it lets it
 * be pinned (gup_must_unshare() in mm/gup.c). It would undo every fold it reads. A read of /proc/PID/mem
 * takes a plain reference and leaves the sharing alone, but goes page by page.
 */
#ifndef PAGEFOLD_GLUE_GUEST_READER_H
#define PAGEFOLD_GLUE_GUEST_READER_H

#include <stddef.h>
#include <stdint.h>

#include "hypervisor-glue/pagemap.h"
#include "hypervisor-glue/process.h"

/*
 * Reads runs of the process's own pages, one after the other into buffer (which must hold them all) and sets
 * present[i] to 1 for page i of the buffer, or to 0 where the page could not be read (unmapped
 * meanwhile); its bytes are undefined then. present has one byte a page. -ESRCH: the process ended,
 * nothing of the buffer may be used. -EPERM: refused (Yama, LSM, credentials).
 */
int guest_reader_read(const struct process *process, const struct page_run *runs, size_t run_count,
	void *buffer, uint8_t *present);

/* The same for runs of shared pages: KSM pages, and pages shared by fork. */
int guest_reader_read_shared(const struct host_root *root, const struct process *process,
	const struct page_run *runs, size_t run_count, void *buffer, uint8_t *present);

#endif
