// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/benchmark/greedy_problem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int by_print(const void *left, const void *right)
{
	const struct holding *a = left, *b = right;

	if (a->print != b->print)
		return a->print < b->print ? -1 : 1;
	return a->extent < b->extent ? -1 : a->extent > b->extent;
}

static int by_extent(const void *left, const void *right)
{
	const struct holding *a = left, *b = right;

	if (a->extent != b->extent)
		return a->extent < b->extent ? -1 : 1;
	return a->content < b->content ? -1 : a->content > b->content;
}

static void nodes_fill(struct greedy *greedy, const struct plan_vm *vms, size_t vm_count)
{
	size_t at = 0;

	for (size_t v = 0; v < vm_count; v++)
		for (size_t e = 0; e < vms[v].map->count; e++) {
			const struct extent *extent = &vms[v].map->extents[e];

			greedy->nodes[at++] = (struct node){
				.vm = v,
				.extent = e,
				.zeros = extent->zeros,
				.huge = extent->huge,
				.may = vms[v].fold && extent->prints &&
					!(vms[v].hugepages == HUGEPAGES_KEEP && extent->huge),
			};
		}
}

static size_t pages_list(const struct greedy *greedy, const struct plan_vm *vms, struct holding *ret)
{
	size_t count = 0;

	for (size_t n = 0; n < greedy->node_count; n++) {
		const struct node *node = &greedy->nodes[n];
		const struct extent_prints *prints = vms[node->vm].map->extents[node->extent].prints;

		for (unsigned page = 0; node->may && page < EXTENT_PAGES; page++) {
			if (extent_prints_state(prints, page) < PAGE_SINGLE)
				continue;
			if (ret)
				ret[count] = (struct holding){ .extent = (uint32_t)n,
					.print = extent_prints_get(prints, page), .copies = 1 };
			count++;
		}
	}
	return count;
}

/* Pages of one content in one extent become one holding, single pages none. */
static size_t holdings_join(struct holding *pages, size_t count, size_t *ret_contents)
{
	size_t kept = 0, contents = 0, end;

	for (size_t start = 0; start < count; start = end) {
		const size_t first = kept;
		uint32_t copies = 0;

		for (end = start; end < count && pages[end].print == pages[start].print; end++) {
			copies++;
			if (kept > first && pages[kept - 1].extent == pages[end].extent) {
				pages[kept - 1].copies++;
			} else {
				pages[kept] = pages[end];
				pages[kept++].content = (uint32_t)contents;
			}
		}
		if (copies < 2)
			kept = first;
		else
			contents++;
	}
	*ret_contents = contents;
	return kept;
}

static void holdings_index(struct greedy *greedy)
{
	for (size_t i = 0; i < greedy->holding_count; i++) {
		struct content *content = &greedy->contents[greedy->by_content[i].content];
		struct node *node = &greedy->nodes[greedy->by_extent[i].extent];

		if (!content->count++)
			content->first = i;
		if (!node->count++)
			node->first = i;
	}
}

static int greedy_fill(struct greedy *greedy, const struct plan_vm *vms)
{
	const size_t pages = pages_list(greedy, vms, NULL);

	greedy->by_content = calloc(pages + 1, sizeof(*greedy->by_content));
	if (!greedy->by_content)
		return -ENOMEM;
	(void)pages_list(greedy, vms, greedy->by_content);
	qsort(greedy->by_content, pages, sizeof(*greedy->by_content), by_print);
	greedy->holding_count = holdings_join(greedy->by_content, pages, &greedy->content_count);
	greedy->by_extent = calloc(greedy->holding_count + 1, sizeof(*greedy->by_extent));
	greedy->contents = calloc(greedy->content_count + 1, sizeof(*greedy->contents));
	greedy->shared = calloc(greedy->node_count * greedy->node_count / 2 + 1, sizeof(uint16_t));
	if (!greedy->by_extent || !greedy->contents || !greedy->shared)
		return -ENOMEM;
	memcpy(greedy->by_extent, greedy->by_content,
		greedy->holding_count * sizeof(*greedy->by_extent));
	qsort(greedy->by_extent, greedy->holding_count, sizeof(*greedy->by_extent), by_extent);
	holdings_index(greedy);
	return 0;
}

struct greedy *greedy_new(const struct plan_vm *vms, size_t vm_count)
{
	struct greedy *greedy = calloc(1, sizeof(*greedy));

	if (!greedy)
		return NULL;
	for (size_t v = 0; v < vm_count; v++)
		greedy->node_count += vms[v].map->count;
	greedy->nodes = calloc(greedy->node_count + 1, sizeof(*greedy->nodes));
	if (!greedy->nodes)
		return greedy_free(greedy);
	nodes_fill(greedy, vms, vm_count);
	return greedy_fill(greedy, vms) < 0 ? greedy_free(greedy) : greedy;
}

struct greedy *greedy_free(struct greedy *greedy)
{
	if (greedy) {
		free(greedy->nodes);
		free(greedy->by_extent);
		free(greedy->by_content);
		free(greedy->contents);
		free(greedy->shared);
	}
	free(greedy);
	return NULL;
}
