// SPDX-License-Identifier: GPL-2.0-or-later
/* The state record: what is on disk may have been cut off, or be of a disk that lies. */
#include "daemon/state.h"
#include "tests/fuzz/fuzz.h"

#define BOOT "11111111-2222-3333-4444-555555555555"

static void check_target(const struct state_target *target)
{
	fuzz_check(target->id.pid > 0);
	for (size_t i = 0; i < target->extent_count; i++) {
		const struct state_extent *extent = &target->extents[i];

		fuzz_check(extent->start < extent->end);
		fuzz_check(extent->end - extent->start <= EXTENT_BYTES);
		fuzz_check(extent->start % PAGE_BYTES == 0 && extent->end % PAGE_BYTES == 0);
		fuzz_check(extent->advice <= HUGE_ADVICE_NEVER);
		fuzz_check(extent->zero_before <= EXTENT_PAGES);
		if (extent->shared_before)
			fuzz_check(extent->shared_before[EXTENT_PAGES - 1] <= UINT8_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *const text = fuzz_string(data, size);
	struct state state;

	if (state_parse(text, size, BOOT, &state) == 0) {
		fuzz_check(!strcmp(state.boot_id, BOOT));
		fuzz_check(memchr(state.active_group, '\0', sizeof(state.active_group)) != NULL);
		for (size_t i = 0; i < state.target_count; i++) {
			check_target(&state.targets[i]);
			fuzz_check(state_find_pid(&state, state.targets[i].id.pid));
		}
		while (state.target_count)
			state_forget(&state, state.targets[0].id);
		state_done(&state);
	}
	free(text);
	return 0;
}
