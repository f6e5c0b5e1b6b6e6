/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What folding would bring, in one shot and without a daemon: reads every page of the processes once,
 * counts twins with the daemon's own index, merges nothing. Groups and policies play no part.
 */
#ifndef PAGEFOLD_DAEMON_ESTIMATE_H
#define PAGEFOLD_DAEMON_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "hashing/twin_index.h"
#include "hypervisor-glue/host_root.h"

struct estimate_options {
	const struct host_root *root;
	const pid_t *pids; /* pid_count of them; none: every VM on the host */
	size_t pid_count;
	bool allow_pagemap_scan;
	size_t partition_bytes; /* 0: the index's own choice */
};

struct estimate_vm {
	char *name;
	char uuid[40]; /* empty: none */
	pid_t pid;
	bool is_vm;
	char *note; /* what of its memory could not be counted, and why; NULL: nothing */
	struct twin_sums sums;
};

struct estimate_report {
	struct estimate_vm *vms; /* by ascending pid */
	size_t vm_count;
	struct twin_sums total;
};

/*
 * 0, or -errno and in *ret_error one sentence (the caller frees it). A VM that ends meanwhile is left
 * out; one that was asked for by pid and cannot be read is an error.
 */
int estimate_run(const struct estimate_options *options, struct estimate_report *ret,
	char **ret_error);
void estimate_report_done(struct estimate_report *report);

#endif
