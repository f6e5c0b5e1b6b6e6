/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who shares with whom: what the VMs of each trust group hold in common, exact over the
 * fingerprints as they were last read. What VMs of different groups have in common is not looked
 * at: they never share.
 */
#ifndef PAGEFOLD_DAEMON_MATRIX_H
#define PAGEFOLD_DAEMON_MATRIX_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "daemon/core.h"
#include "daemon/document.h"
#include "hashing/twin_index.h"

/* Those that save most, of all groups together: 256 VMs that all share with each other have so
 * many. As JSON they are 6 MiB. */
#define MATRIX_PAIRS_MOST 32768u

struct matrix_vm {
	char *name, *uuid; /* uuid NULL: none */
	pid_t pid;
	char group[POLICY_GROUP_BYTES];
	struct twin_sums sums; /* among the VMs of its group; no pages: it has not been read yet */
};

struct matrix_pair {
	uint32_t vms[2]; /* which, of the matrix */
	struct twin_pair common;
};

struct matrix {
	uint64_t pass_number; /* of the last pass before it was made */
	struct timespec made_at;
	struct matrix_vm *vms;
	size_t vm_count;
	struct matrix_pair *pairs; /* that have something in common; what saves most comes first */
	size_t pair_count, pairs_omitted;
};

/*
 * Between two steps of a pass: looks at the prints and changes nothing. It takes as long as a count
 * of twins: half a second for 200 VMs of 256 MiB, twice that where each content has other holders.
 * 0, -ENOMEM, or -E2BIG where a group has more VMs than TWIN_PAIRS_OWNERS_MOST.
 */
int matrix_make(const struct core *core, struct matrix *ret);
void matrix_done(struct matrix *matrix);

/* matrix_json.c: as JSON. NULL: no memory. */
struct document *matrix_document(const struct matrix *matrix);

#endif
