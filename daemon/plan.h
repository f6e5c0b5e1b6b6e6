/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which extents are worth folding. Pure: counts, policies and limits in, a printable list out; no
 * system call, no clock. The same plan is what `pagefold plan` shows and what a pass carries out.
 *
 * Which extents those are is draft.h's; what is to be done about each of them now, within the limits, is told here.
 */
#ifndef PAGEFOLD_DAEMON_PLAN_H
#define PAGEFOLD_DAEMON_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/extent.h"
#include "daemon/policy.h"

/* An isolated mark splits one VMA into three. */
#define PLAN_VMAS_PER_EXTENT 2

enum plan_action {
	PLAN_FOLD,
	PLAN_REVISIT, /* promising, but to be read again before it is marked */
	PLAN_RELEASE,
	PLAN_WAIT, /* to be folded, but not now */
};

const char *plan_action_name(enum plan_action action);

/* One VM as the planner sees it. Everything is borrowed. */
struct plan_vm {
	const char *name;
	pid_t pid;
	const struct extent_map *map; /* extents counted (twins, zeros) among all VMs that fold */
	enum policy_hugepages hugepages;
	bool fold;         /* asked for, in the active group, nothing in the way */
	bool release;      /* give back whatever is marked */
	const char *why;   /* it is to be given back: static; NULL: somebody wants it so */
	bool whole;        /* all of its extents can be marked, or none */
	uint64_t vma_room; /* VMAs that may still be made in it */
};

/* There may be hundreds of thousands of them. */
struct plan_entry {
	const char *reason; /* static */
	uint64_t start;
	uint32_t length;
	uint32_t vm, extent; /* indices into what plan_make() was given */
	pid_t pid;
	uint16_t twins, zeros; /* pages there */
	uint16_t gain;         /* of them, predicted to fold */
	uint8_t action;        /* enum plan_action */
	bool huge;             /* a huge page is lost by it */
};

struct plan {
	struct plan_entry *entries; /* by VM, then address */
	size_t count;
	char **vm_names; /* vm_count of them */
	double *vm_yield; /* as many: what comes back of a page that folds there, 0 to 1; NULL in a copy */
	size_t vm_count;
	uint64_t fold_pages;  /* what the PLAN_FOLD entries are predicted to fold */
	uint64_t saved_pages; /* what is predicted to come back by it: a page of each content stays */
	uint64_t saved_pages_least; /* if none of that has a twin among older folds, of whose
				       content a page stays anyway */
};

/*
 * pass is the number of the pass (extents that disappointed before are left out for some).
 * 0 or -ENOMEM. The caller ends with plan_done(). Twin states of pages change meanwhile, and are afterwards what
 * they were.
 */
int plan_make(const struct plan_vm *vms, size_t vm_count, uint64_t pass, struct plan *ret);
/* What the entry's VM is called; NULL: nobody knows. */
const char *plan_vm_name(const struct plan *plan, const struct plan_entry *entry);
/* Nothing is to be folded for now: the PLAN_FOLD entries become PLAN_WAIT, for that reason (static). */
void plan_hold_folds(struct plan *plan, const char *reason);
/* What a VM is to save by the PLAN_FOLD entries, in pages. A page of each content stays, and who shares it bears it
 * in equal parts. */
double plan_expected_pages(const struct plan *plan, pid_t pid);
/* The PLAN_FOLD entries were carried out. */
void plan_drop_folds(struct plan *plan);
/* A copy of its own. 0 or -ENOMEM. */
int plan_copy(const struct plan *plan, struct plan *ret);
void plan_done(struct plan *plan);

#endif
