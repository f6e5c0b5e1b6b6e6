/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who runs on the host, and what is remembered of each from one look to the next, so that a look costs one
 * getdents64(2) and one readlink(2) a process, however many descriptors they hold.
 *
 * A process is the same as last time if /proc gives its directory the same inode number: procfs makes a new inode
 * when a pid is given to somebody else, since it drops the old one's as it is reaped (proc_flush_pid() in fs/proc/
 * base.c, Linux 5.7), or when the dentry was reclaimed, which only costs another look. Another program is noticed
 * by /proc/PID/exe at once; what leaves no trace in either (a VM descriptor opened later, another name) after as
 * long again as the process has been known, and after PROCESS_TABLE_OLD_S at the latest.
 */
#ifndef PAGEFOLD_GLUE_PROCESS_TABLE_H
#define PAGEFOLD_GLUE_PROCESS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hypervisor-glue/host_root.h"

#define PROCESS_TABLE_OLD_S 120

struct process_entry {
	pid_t pid, parent;
	char comm[64]; /* as process_stat has it */
	char *exe;     /* without " (deleted)"; NULL: a kernel thread, a zombie, or not to be had */
	bool is_vmm;   /* as vmm_read() has it */
	/* what recognises it, and when it was looked at first and last */
	ino_t inode;
	uint64_t first_ns, looked_ns;
};

struct process_table {
	struct process_entry *entries; /* by ascending pid */
	size_t count;
};

/*
 * Looks who is there now; now_ns: CLOCK_MONOTONIC. A process that ends meanwhile is left out; one that cannot be
 * looked at is there, as no VMM. 0, or -ENOMEM, -EMFILE, -ENFILE or what is wrong with /proc itself: then the table
 * is empty.
 */
int process_table_refresh(const struct host_root *root, uint64_t now_ns, struct process_table *table);
void process_table_done(struct process_table *table);

#endif
