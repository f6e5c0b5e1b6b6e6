/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who holds which content. Private to greedy_problem.c, which finds that out, and greedy.c, which chooses. */
#ifndef PAGEFOLD_TOOLS_GREEDY_PROBLEM_H
#define PAGEFOLD_TOOLS_GREEDY_PROBLEM_H

#include "tools/benchmark/greedy.h"

/* So many copies of one content in one extent. Listed by extent, and again by content. */
struct holding {
	uint64_t print;
	uint32_t content, extent;
	uint32_t copies;
};

struct node {
	size_t vm, extent;
	size_t first, count; /* of by_extent */
	unsigned zeros;
	bool huge, may;
	bool taken;
	int64_t gain; /* upwards: of taking it now; downwards: what dropping it would lose */
};

struct content {
	size_t first, count; /* of by_content */
	uint32_t holders;    /* that are taken */
};

struct greedy {
	struct node *nodes;
	struct holding *by_extent, *by_content;
	struct content *contents;
	uint16_t *shared; /* contents that two have and nobody taken has; the greater index first */
	size_t node_count, content_count, holding_count;
	struct greedy_budget used;
	uint64_t value;
};

#endif
