// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/source.h"

#include "hypervisor-glue/ksm.h"

enum view_trust source_trust(const struct core *core, const struct target *target)
{
	struct process_ksm ksm;

	if (!target->guest.is_vm)
		return TRUST_NOTHING;
	if (process_ksm_read(&core->root, target_pid(target), &ksm) == 0 && ksm.rmap_items == 0 &&
		ksm.merging_pages == 0)
		return TRUST_ALL;
	return TRUST_HUGE;
}

struct scan_source source_of(const struct core *core, struct target *target, enum view_trust trust)
{
	return (struct scan_source){
		.root = &core->root,
		.process = &target->guest.process,
		.pagemap = &target->guest.pagemap,
		.trust = trust,
		.skip_fork_shared = !target->guest.is_vm,
		.nodes_apart = core->nodes_apart,
	};
}

void source_nodes_judge(struct core *core)
{
	const bool apart = ksm_keeps_nodes_apart(&core->root);

	if (apart == core->nodes_apart)
		return;
	core->nodes_apart = apart;
	core->index_stale = true;
	for (size_t t = 0; t < core->registry.count; t++) {
		const struct extent_map *map = &core->registry.targets[t]->guest.map;

		for (size_t e = 0; e < map->count; e++)
			extent_forget_visits(&map->extents[e]);
	}
}
