// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/PID/cmdline of something that calls itself QEMU. */
#include "hypervisor-glue/vmm.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *const text = malloc(size ? size : 1);
	struct qemu_cmdline parsed;

	fuzz_check(text != NULL);
	if (size)
		memcpy(text, data, size);
	qemu_cmdline_parse(text, size, &parsed);
	fuzz_check(memchr(parsed.name, '\0', sizeof(parsed.name)) != NULL);
	fuzz_check(parsed.uuid[0] == '\0' || strlen(parsed.uuid) == VMM_UUID_BYTES - 1);
	fuzz_check(parsed.ram_bytes % 8192 == 0);
	for (const char *c = parsed.name; *c; c++)
		fuzz_check((unsigned char)*c >= ' ' && *c != 0x7f);
	free(text);
	return 0;
}
