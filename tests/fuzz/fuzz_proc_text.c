// SPDX-License-Identifier: GPL-2.0-or-later
/* The smaller texts of /proc. The first byte picks the parser; where one takes two texts, a line
 * with nothing but "=" parts them. */
#include "hypervisor-glue/host_memory.h"
#include "hypervisor-glue/ksm.h"
#include "hypervisor-glue/memcg.h"
#include "hypervisor-glue/vmstat.h"
#include "tests/fuzz/fuzz.h"

/* Cuts text at "\n=\n"; what stands behind it is the second text, perhaps empty. */
static char *cut_second(char *text)
{
	char *const border = strstr(text, "\n=\n");

	if (!border)
		return text + strlen(text);
	border[1] = '\0';
	return border + 3;
}

static void fuzz_memcg(char *text)
{
	const char *const mountinfo = cut_second(text);

	for (enum memcg_version version = MEMCG_V1; version <= MEMCG_V2; version++) {
		struct memcg_path path;

		if (memcg_path_find(text, mountinfo, version, &path) < 0)
			continue;
		fuzz_check(path.path[0] == '/');
		fuzz_check(strlen(path.path) >= path.mount_length && path.mount_length > 0);
	}
}

static void fuzz_room(char *text)
{
	uint64_t bytes;

	(void)memcg_room_parse(text, cut_second(text), &bytes);
}

static void fuzz_meminfo(char *text)
{
	struct host_memory memory;

	if (host_memory_parse(text, &memory) == 0)
		fuzz_check(memory.total_bytes % 1024 == 0 && memory.anon_bytes % 1024 == 0);
}

static void fuzz_ksm_stat(char *text)
{
	struct process_ksm ksm;

	process_ksm_parse(text, &ksm);
	fuzz_check(ksm.rmap_items >= 0 || ksm.rmap_items == KSM_KNOB_ABSENT);
	fuzz_check(ksm.mergeable >= TRISTATE_UNKNOWN && ksm.mergeable <= TRISTATE_YES);
}

static void fuzz_vmstat(char *text)
{
	uint64_t value;

	if (vmstat_cow_ksm_parse(text, &value) == 0)
		fuzz_check(strstr(text, "cow_ksm ") != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parsers[])(char *) = {
		fuzz_memcg,
		fuzz_room,
		fuzz_meminfo,
		fuzz_ksm_stat,
		fuzz_vmstat,
	};
	char *text;

	if (size == 0)
		return 0;
	text = fuzz_string(data + 1, size - 1);
	parsers[data[0] % (sizeof(parsers) / sizeof(parsers[0]))](text);
	free(text);
	return 0;
}
