/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the planner's choice is measured against: slow, plain greedy choices over every extent and
 * every content, with exact gains. Of memory in which nothing is marked yet.
 *
 * Upwards: takes what brings most next, one extent or two that are partners, until the budget is
 * spent. Downwards: starts from all and drops what is missed least, until the budget is met.
 */
#ifndef PAGEFOLD_TOOLS_GREEDY_H
#define PAGEFOLD_TOOLS_GREEDY_H

#include "daemon/plan.h"

/* Extents that may be taken: those that break a huge page, and those that do not. */
struct greedy_budget {
	size_t huge, plain;
};

struct greedy; /* the problem; the maps' twins must have been counted */

struct greedy *greedy_new(const struct plan_vm *vms, size_t vm_count); /* NULL: no memory */
struct greedy *greedy_free(struct greedy *greedy);                     /* NULL is fine; returns NULL */

/* Pages that come back where these fold (one page of each content stays). */
uint64_t greedy_value(struct greedy *greedy, const struct plan *plan);
/* What folding the plan's extents costs. */
struct greedy_budget greedy_cost(const struct plan *plan);

uint64_t greedy_upwards(struct greedy *greedy, struct greedy_budget budget);
/* ret_curve, or NULL: [n] becomes what n broken huge pages bring; has budget_all().huge + 1. */
uint64_t greedy_downwards(
	struct greedy *greedy, struct greedy_budget budget, uint64_t *ret_curve);
/* All that may be taken. */
struct greedy_budget greedy_budget_all(const struct greedy *greedy);

#endif
