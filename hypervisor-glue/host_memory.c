// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/host_memory.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/number.h"

/* "MemTotal:       24684084 kB": value is what stands behind the colon. */
static int parse_kib(const char *value, size_t length, uint64_t *ret_bytes)
{
	char digits[24];
	size_t blanks = 0, count = 0;
	uint64_t kib;

	while (blanks < length && value[blanks] == ' ')
		blanks++;
	while (blanks + count < length && count + 1 < sizeof(digits) &&
		value[blanks + count] != ' ') {
		digits[count] = value[blanks + count];
		count++;
	}
	digits[count] = '\0';
	if (length - blanks - count != 3 || memcmp(value + blanks + count, " kB", 3) != 0)
		return -EINVAL;
	if (number_parse_u64(digits, 10, &kib) < 0 || kib > UINT64_MAX >> 10)
		return -EINVAL;
	*ret_bytes = kib << 10;
	return 0;
}

int host_memory_parse(const char *meminfo, struct host_memory *ret)
{
	struct host_memory memory = { 0 };
	struct {
		const char *name;
		uint64_t *bytes;
		bool required, found;
	} fields[] = {
		{ "MemTotal:", &memory.total_bytes, true, false },
		{ "MemAvailable:", &memory.available_bytes, true, false },
		{ "AnonPages:", &memory.anon_bytes, true, false },
		{ "AnonHugePages:", &memory.anon_huge_bytes, false, false }, /* no THP */
		{ "SwapFree:", &memory.swap_free_bytes, false, false },      /* no swap */
	};

	while (*meminfo) {
		const size_t length = strcspn(meminfo, "\n");

		for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
			const size_t name_length = strlen(fields[i].name);

			if (length < name_length ||
				memcmp(meminfo, fields[i].name, name_length) != 0)
				continue;
			if (parse_kib(meminfo + name_length, length - name_length,
				    fields[i].bytes) < 0)
				return -EINVAL;
			fields[i].found = true;
		}
		meminfo += length + (meminfo[length] == '\n');
	}
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].required && !fields[i].found)
			return -EINVAL;
	*ret = memory;
	return 0;
}

int host_memory_read(const struct host_root *root, struct host_memory *ret)
{
	_cleanup_free_ char *text = NULL;
	const int r = host_root_read_proc(root, "meminfo", &text, NULL);

	return r < 0 ? r : host_memory_parse(text, ret);
}

int thp_mode_read(const struct host_root *root, enum thp_mode *ret)
{
	static const struct {
		const char *text;
		enum thp_mode mode;
	} modes[] = {
		{ "[never]", THP_NEVER },
		{ "[madvise]", THP_MADVISE },
		{ "[always]", THP_ALWAYS },
	};
	_cleanup_free_ char *text = NULL;
	const int r =
		host_root_read_sys(root, "kernel/mm/transparent_hugepage/enabled", &text, NULL);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (strstr(text, modes[i].text)) {
			*ret = modes[i].mode;
			return 0;
		}
	return -EINVAL;
}

int max_map_count_read(const struct host_root *root, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	const int r = host_root_read_proc(root, "sys/vm/max_map_count", &text, NULL);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	return number_parse_u64(text, 10, ret) < 0 ? -EINVAL : 0;
}

int boot_id_read(const struct host_root *root, char ret[BOOT_ID_BYTES])
{
	_cleanup_free_ char *text = NULL;
	const int r = host_root_read_proc(root, "sys/kernel/random/boot_id", &text, NULL);

	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	if (strlen(text) != BOOT_ID_BYTES - 1 ||
		strspn(text, "0123456789abcdef-") != BOOT_ID_BYTES - 1)
		return -EINVAL;
	memcpy(ret, text, BOOT_ID_BYTES);
	return 0;
}
