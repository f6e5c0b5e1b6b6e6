// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/benchmark/greedy.h"

#include <string.h>

#include "tools/benchmark/greedy_problem.h"

/* ---- upwards ---- */

static uint16_t *pair(const struct greedy *greedy, size_t a, size_t b)
{
	return &greedy->shared[a > b ? a * (a - 1) / 2 + b : b * (b - 1) / 2 + a];
}

/* Contents that nobody who is taken has, as pairs see them. */
static void content_pairs_add(struct greedy *greedy, const struct content *content, int add)
{
	for (size_t i = 0; i < content->count; i++)
		for (size_t j = 0; j < i; j++)
			*pair(greedy, greedy->by_content[content->first + i].extent,
				greedy->by_content[content->first + j].extent) += (uint16_t)add;
}

static void start_empty(struct greedy *greedy)
{
	memset(greedy->shared, 0,
		(greedy->node_count * greedy->node_count / 2 + 1) * sizeof(*greedy->shared));
	for (size_t c = 0; c < greedy->content_count; c++) {
		greedy->contents[c].holders = 0;
		content_pairs_add(greedy, &greedy->contents[c], 1);
	}
	for (size_t n = 0; n < greedy->node_count; n++) {
		struct node *node = &greedy->nodes[n];

		node->taken = false;
		node->gain = node->zeros;
		for (size_t h = 0; h < node->count; h++)
			node->gain += greedy->by_extent[node->first + h].copies - 1;
	}
	greedy->used = (struct greedy_budget){ 0, 0 };
	greedy->value = 0;
}

static void take(struct greedy *greedy, size_t n)
{
	struct node *node = &greedy->nodes[n];

	node->taken = true;
	greedy->value += (uint64_t)node->gain;
	greedy->used.huge += node->huge;
	greedy->used.plain += !node->huge;
	for (size_t h = 0; h < node->count; h++) {
		struct content *content =
			&greedy->contents[greedy->by_extent[node->first + h].content];

		if (content->holders++)
			continue;
		content_pairs_add(greedy, content, -1);
		for (size_t i = 0; i < content->count; i++)
			greedy->nodes[greedy->by_content[content->first + i].extent].gain++;
	}
}

static bool fits(const struct greedy *greedy, const struct greedy_budget *budget, size_t n, size_t beside)
{
	const struct node *node = &greedy->nodes[n];
	const bool both = beside != n && greedy->nodes[beside].huge == node->huge;

	if (!node->may || node->taken)
		return false;
	return node->huge ? greedy->used.huge + both < budget->huge
			  : greedy->used.plain + both < budget->plain;
}

/* One that brings most, and one beside it where the two bring more than that each; the same twice:
 * it alone. False: nothing fits. */
static bool best_step(const struct greedy *greedy, const struct greedy_budget *budget, size_t *ret_a,
	size_t *ret_b)
{
	int64_t best = -1, most = 0;

	for (size_t n = 0; n < greedy->node_count; n++) {
		if (!fits(greedy, budget, n, n))
			continue;
		if (greedy->nodes[n].gain > most)
			most = greedy->nodes[n].gain;
		if (2 * greedy->nodes[n].gain > best) {
			best = 2 * greedy->nodes[n].gain;
			*ret_a = *ret_b = n;
		}
	}
	for (size_t a = 0; a < greedy->node_count; a++) {
		/* What two share is at most a whole extent. */
		if (!fits(greedy, budget, a, a) ||
			greedy->nodes[a].gain + most + (int64_t)EXTENT_PAGES <= best)
			continue;
		for (size_t b = 0; b < a; b++) {
			const int64_t gain =
				greedy->nodes[a].gain + greedy->nodes[b].gain + *pair(greedy, a, b);

			if (gain > best && fits(greedy, budget, a, b) && fits(greedy, budget, b, a)) {
				best = gain;
				*ret_a = a;
				*ret_b = b;
			}
		}
	}
	return best >= 0;
}

uint64_t greedy_upwards(struct greedy *greedy, struct greedy_budget budget)
{
	size_t a = 0, b = 0;

	start_empty(greedy);
	while (best_step(greedy, &budget, &a, &b)) {
		take(greedy, a);
		if (b != a)
			take(greedy, b);
	}
	return greedy->value;
}

/* ---- downwards ---- */

static void start_full(struct greedy *greedy)
{
	greedy->used = greedy_budget_all(greedy);
	greedy->value = 0;
	for (size_t c = 0; c < greedy->content_count; c++) {
		greedy->contents[c].holders = (uint32_t)greedy->contents[c].count;
		greedy->value -= greedy->contents[c].count > 0;
	}
	for (size_t n = 0; n < greedy->node_count; n++) {
		struct node *node = &greedy->nodes[n];

		node->taken = node->may;
		node->gain = node->zeros;
		for (size_t h = 0; h < node->count; h++) {
			const struct holding *held = &greedy->by_extent[node->first + h];

			node->gain += held->copies - (greedy->contents[held->content].count == 1);
			greedy->value += held->copies;
		}
		if (node->may)
			greedy->value += node->zeros;
	}
}

static void drop(struct greedy *greedy, size_t n)
{
	struct node *node = &greedy->nodes[n];

	node->taken = false;
	greedy->value -= (uint64_t)node->gain;
	greedy->used.huge -= node->huge;
	greedy->used.plain -= !node->huge;
	for (size_t h = 0; h < node->count; h++) {
		struct content *content =
			&greedy->contents[greedy->by_extent[node->first + h].content];

		if (--content->holders != 1)
			continue;
		for (size_t i = 0; i < content->count; i++) {
			struct node *left =
				&greedy->nodes[greedy->by_content[content->first + i].extent];

			left->gain -= left->taken;
		}
	}
}

static bool least_missed(const struct greedy *greedy, struct greedy_budget budget, size_t *ret)
{
	bool found = false;

	for (size_t n = 0; n < greedy->node_count; n++) {
		const struct node *node = &greedy->nodes[n];

		if (!node->taken || (node->huge ? greedy->used.huge <= budget.huge
						: greedy->used.plain <= budget.plain))
			continue;
		if (!found || node->gain < greedy->nodes[*ret].gain)
			*ret = n;
		found = true;
	}
	return found;
}

uint64_t greedy_downwards(struct greedy *greedy, struct greedy_budget budget, uint64_t *ret_curve)
{
	size_t n = 0;

	start_full(greedy);
	do {
		if (ret_curve)
			ret_curve[greedy->used.huge] = greedy->value;
		if (!least_missed(greedy, budget, &n))
			break;
		drop(greedy, n);
	} while (true);
	return greedy->value;
}

/* ---- what was chosen ---- */

struct greedy_budget greedy_budget_all(const struct greedy *greedy)
{
	struct greedy_budget all = { 0, 0 };

	for (size_t n = 0; n < greedy->node_count; n++) {
		all.huge += greedy->nodes[n].may && greedy->nodes[n].huge;
		all.plain += greedy->nodes[n].may && !greedy->nodes[n].huge;
	}
	return all;
}

struct greedy_budget greedy_cost(const struct plan *plan)
{
	struct greedy_budget cost = { 0, 0 };

	for (size_t i = 0; i < plan->count; i++) {
		cost.huge += plan->entries[i].action == PLAN_FOLD && plan->entries[i].huge;
		cost.plain += plan->entries[i].action == PLAN_FOLD && !plan->entries[i].huge;
	}
	return cost;
}

uint64_t greedy_value(struct greedy *greedy, const struct plan *plan)
{
	size_t n = 0;

	start_empty(greedy);
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_entry *entry = &plan->entries[i];

		while (greedy->nodes[n].vm != entry->vm || greedy->nodes[n].extent != entry->extent)
			n++;
		if (entry->action == PLAN_FOLD)
			take(greedy, n);
	}
	return greedy->value;
}
