// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/layout.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "common/cleanup.h"
#include "hypervisor-glue/attach/arch.h"

#define PIECE_BYTES 65536

struct mapping {
	uint64_t start, end;
	bool executable, vdso, stack;
};

static bool mapping_parse(const char *line, struct mapping *ret)
{
	unsigned long long start, end;
	char mode[5], name[16] = "";

	if (sscanf(line, "%llx-%llx %4s %*s %*s %*s %15s", &start, &end, mode, name) < 3)
		return false;
	*ret = (struct mapping){ start, end, mode[0] == 'r' && mode[2] == 'x',
		strcmp(name, "[vdso]") == 0, strcmp(name, "[stack]") == 0 };
	return true;
}

/* Bytes that happen to look like the instruction will do: they are only ever jumped to. */
static uint64_t instruction_find(pid_t pid, const struct mapping *mapping)
{
	uint8_t piece[PIECE_BYTES];
	uint64_t at = mapping->start;

	while (at < mapping->end) {
		const uint64_t left = mapping->end - at;
		struct iovec local = { piece, left < PIECE_BYTES ? left : PIECE_BYTES };
		struct iovec remote = { (void *)(uintptr_t)at, local.iov_len };
		const ssize_t got = process_vm_readv(pid, &local, 1, &remote, 1, 0);
		const uint8_t *found;

		if (got <= 0)
			return 0;
		found = memmem(
			piece, (size_t)got, arch_call_instruction, arch_call_instruction_bytes);
		if (found)
			return at + (uint64_t)(found - piece);
		at += (uint64_t)got;
	}
	return 0;
}

int layout_read(pid_t pid, struct layout *ret)
{
	_cleanup_fclose_ FILE *maps = NULL;
	_cleanup_free_ char *line = NULL;
	struct layout layout = { 0 };
	size_t space = 0;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return errno == ENOENT ? -ESRCH : -errno;
	while (getline(&line, &space, maps) > 0) {
		struct mapping mapping;

		if (!mapping_parse(line, &mapping))
			continue;
		/* The vdso is best: it is the kernel's own and always resident. */
		if (mapping.executable && (mapping.vdso || !layout.instruction)) {
			const uint64_t found = instruction_find(pid, &mapping);

			layout.instruction = found ? found : layout.instruction;
		}
		if (mapping.stack) {
			layout.stack_start = mapping.start;
			layout.stack_end = mapping.end;
		}
	}
	if (!layout.instruction || !layout.stack_end)
		return -ENOENT;
	*ret = layout;
	return 0;
}

uint64_t layout_scratch(const struct layout *layout, uint64_t stack_pointer, size_t bytes)
{
	const uint64_t below = (stack_pointer - ARCH_RED_ZONE_BYTES - bytes) & ~UINT64_C(15);

	if (stack_pointer <= layout->stack_start || stack_pointer > layout->stack_end)
		return layout->stack_start;
	return below >= layout->stack_start && below < stack_pointer ? below : 0;
}
