// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/stat, whose second field any process chooses for itself. */
#include "hypervisor-glue/process.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *const text = fuzz_string(data, size);
	struct process_stat stat;

	if (process_stat_parse(text, &stat) == 0) {
		fuzz_check(memchr(stat.comm, '\0', sizeof(stat.comm)) != NULL);
		fuzz_check(stat.parent >= 0);
		for (const char *c = stat.comm; *c; c++)
			fuzz_check(*c >= ' ' && *c <= '~');
	}
	free(text);
	return 0;
}
