// SPDX-License-Identifier: GPL-2.0-or-later
/* A line that QEMU's monitor says. */
#include <stdint.h>
#include <string.h>

#include "hypervisor-glue/qmp.h"
#include "hypervisor-glue/qmp_memdev.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct memdevs memdevs;
	const char *text = (const char *)data;
	char reason[QMP_REASON_BYTES] = "";
	const enum qmp_line kind = qmp_line_kind(text, size);
	const int error = memdevs_parse(text, size, &memdevs, reason);

	fuzz_check(!error || reason[0]);
	fuzz_check(error || kind == QMP_LINE_REPLY);
	for (size_t i = 0; !error && i < memdevs.count; i++) {
		fuzz_check(memdevs.list[i].size > 0);
		fuzz_check(!strchr(memdevs.list[i].path + strlen("/objects/"), '/'));
	}
	return 0;
}
