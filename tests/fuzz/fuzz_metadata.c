// SPDX-License-Identifier: GPL-2.0-or-later
/* A policy in libvirt metadata: what was refused must leave the policy as it was. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/metadata.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *xml = malloc(size + 1);
	char reason[METADATA_REASON_BYTES] = "";
	struct policy policy, before;

	memcpy(xml, data, size);
	xml[size] = '\0';
	policy_init(&policy, MODE_OBSERVE);
	memcpy(&before, &policy, sizeof(before));
	if (metadata_parse(xml, &policy, reason) < 0)
		fuzz_check(memcmp(&before, &policy, sizeof(before)) == 0 && reason[0]);
	return 0;
}
