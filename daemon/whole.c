// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/whole.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/account.h"
#include "daemon/fold.h"
#include "daemon/log.h"
#include "daemon/means.h"

int whole_advise(struct core *core, struct target *target, enum advice advice,
	struct advice_request **ret_requests)
{
	const struct extent_map *map = &target->guest.map;
	_cleanup_free_ struct advice_request *requests = calloc(map->count + 1, sizeof(*requests));
	int error;

	if (!requests)
		return -ENOMEM;
	for (size_t i = 0; i < map->count; i++)
		requests[i] = (struct advice_request){ map->extents[i].start,
			map->extents[i].end - map->extents[i].start, advice, 0 };
	error = means_advise(core, target, requests, map->count);
	if (error)
		return error;
	*ret_requests = steal_pointer(&requests);
	return 0;
}

void whole_warn(const struct target *target, uint64_t need_bytes)
{
	if (need_bytes >= WHOLE_WARN_BYTES)
		log_warning("%s (pid %d): %llu MiB are being copied back by QEMU itself, which stands "
			    "still meanwhile (hook qmp)",
			target_name(target), (int)target_pid(target),
			(unsigned long long)((need_bytes + (1 << 20) - 1) >> 20));
}

int whole_unmark(struct core *core, struct target *target)
{
	_cleanup_free_ struct advice_request *requests = NULL;
	int error = whole_advise(core, target, ADVICE_UNMERGEABLE, &requests);

	if (error)
		return error;
	for (size_t i = 0; i < target->guest.map.count; i++) {
		struct extent *extent = &target->guest.map.extents[i];

		extent->out_of_reach = requests[i].ret_result == -EOPNOTSUPP;
		if (!extent->marked)
			continue;
		if (requests[i].ret_result)
			error = requests[i].ret_result;
		else
			extent_unmark(extent);
	}
	return error;
}

static void extent_judge(struct extent *extent, uint64_t pass, uint64_t *inout_folds)
{
	*inout_folds += extent_folds(extent);
	if (extent->fresh) {
		extent->due_ns = 0; /* zero folds are not there to be read any more: count anew */
		fold_judge(extent, pass);
	}
	extent->fresh = false;
}

int whole_trim(struct core *core, struct target *target)
{
	uint64_t folds = 0;
	int error = 0;

	for (size_t i = 0; i < target->guest.map.count; i++) {
		struct extent *extent = &target->guest.map.extents[i];
		uint8_t tenures[EXTENT_PAGES];

		if (!extent->marked)
			continue;
		error = account_extent(target, extent, tenures);
		if (error)
			return error;
		extent_judge(extent, core->pass_number, &folds);
	}
	if (!folds)
		error = whole_unmark(core, target);
	return error ? error : core_record(core);
}
