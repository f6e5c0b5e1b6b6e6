// SPDX-License-Identifier: GPL-2.0-or-later
/* The XML of a domain, as whoever may define one writes it. */
#include "hypervisor-glue/libvirt_xml.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *const text = fuzz_string(data, size);

	/* What does not even name it says no only by being unreadable: then it does so whatever
	 * follows. */
	if (libvirt_xml_has_nosharepages(text) && !strstr(text, "nosharepages")) {
		char *const more = malloc(strlen(text) + sizeof("<"));

		fuzz_check(more != NULL);
		strcpy(more, text);
		strcat(more, "<");
		fuzz_check(libvirt_xml_has_nosharepages(more));
		free(more);
	}
	free(text);
	return 0;
}
