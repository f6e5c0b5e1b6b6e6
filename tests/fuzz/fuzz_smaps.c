// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/smaps, and the guest-RAM map of whatever it says. */
#include "hypervisor-glue/guest_ram.h"
#include "tests/fuzz/fuzz.h"

static void check_map(const struct smaps_list *list, const struct guest_ram_hints *hints)
{
	struct ram_range *ranges;
	uint64_t previous_end = 0;
	size_t count;

	fuzz_check(guest_ram_map(list->vmas, list->count, hints, &ranges, &count) == 0);
	fuzz_check(count <= list->count);
	for (size_t i = 0; i < count; i++) {
		fuzz_check(ranges[i].start >= previous_end && ranges[i].start < ranges[i].end);
		fuzz_check(ranges[i].verdict < RAM_VERDICT_COUNT);
		previous_end = ranges[i].end;
	}
	free(ranges);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Not NUL-terminated: the parser is told the length. */
	char *const text = malloc(size ? size : 1);
	struct smaps_list list;
	uint64_t previous_end = 0;

	fuzz_check(text != NULL);
	if (size)
		memcpy(text, data, size);
	(void)smaps_pss_parse(text, size, &previous_end);
	previous_end = 0;
	if (smaps_parse(text, size, &list) == 0) {
		for (size_t i = 0; i < list.count; i++) {
			fuzz_check(list.vmas[i].start >= previous_end);
			fuzz_check(list.vmas[i].start < list.vmas[i].end);
			previous_end = list.vmas[i].end;
		}
		check_map(&list, &(struct guest_ram_hints){ .is_vm = false });
		check_map(&list, &(struct guest_ram_hints){ .is_vm = true });
		check_map(&list, &(struct guest_ram_hints){ .is_vm = true, .ram_bytes = 1 << 21 });
		smaps_list_done(&list);
	}
	free(text);
	return 0;
}
