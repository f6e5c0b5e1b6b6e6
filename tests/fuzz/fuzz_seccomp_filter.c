// SPDX-License-Identifier: GPL-2.0-or-later
/* A filter is the target's own program: whatever it holds, running it ends and stays in bounds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor-glue/attach/seccomp_filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct seccomp_data call = { 0 };
	struct sock_filter *program;
	uint32_t verdict;
	size_t length;

	if (size < sizeof(call))
		return 0;
	memcpy(&call, data, sizeof(call));
	length = (size - sizeof(call)) / sizeof(*program);
	program = malloc(length * sizeof(*program) + 1); /* exact, so that a step beyond is seen */
	if (!program)
		return 0;
	memcpy(program, data + sizeof(call), length * sizeof(*program));
	(void)seccomp_filter_run(program, length, &call, &verdict);
	free(program);
	return 0;
}
