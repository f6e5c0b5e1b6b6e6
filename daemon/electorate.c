// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/electorate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool electorate_includes(const struct target *target, const char *group, bool folding_only)
{
	if (!target->mapped || target->policy.mode == MODE_OFF ||
		strcmp(target->policy.group, group))
		return false;
	return !folding_only || target_wants_folds(target, group);
}

static void owners_fill(struct electorate *electorate)
{
	size_t at = 0;

	for (size_t i = 0; i < electorate->count; i++) {
		const struct extent_map *map = &electorate->targets[i]->guest.map;

		electorate->owners[i] = (struct twin_owner){
			.extents = electorate->prints + at,
			.extent_count = map->count,
		};
		for (size_t e = 0; e < map->count; e++)
			electorate->prints[at++] = map->extents[e].prints;
	}
}

int electorate_init(struct electorate *electorate, const struct core *core, const char *group,
	bool folding_only)
{
	size_t extents = 0;

	*electorate = (struct electorate){
		.targets = calloc(core->registry.count + 1, sizeof(struct target *)),
	};
	if (!electorate->targets)
		return -ENOMEM;
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];

		if (!electorate_includes(target, group, folding_only))
			continue;
		electorate->targets[electorate->count++] = target;
		extents += target->guest.map.count;
	}
	electorate->owners = calloc(electorate->count + 1, sizeof(*electorate->owners));
	electorate->prints = calloc(extents + 1, sizeof(struct extent_prints *));
	if (!electorate->owners || !electorate->prints) {
		electorate_done(electorate);
		return -ENOMEM;
	}
	owners_fill(electorate);
	return 0;
}

void electorate_done(struct electorate *electorate)
{
	free(electorate->targets);
	free(electorate->owners);
	free(electorate->prints);
	*electorate = (struct electorate){ 0 };
}
