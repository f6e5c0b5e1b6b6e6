// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/vmstat.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define COW_KSM "cow_ksm "

int vmstat_cow_ksm_parse(const char *text, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	while (text && strncmp(text, COW_KSM, strlen(COW_KSM))) {
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	if (!text)
		return -ENOENT;
	text += strlen(COW_KSM);
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || (*end && *end != '\n'))
		return -EINVAL;
	*ret = value;
	return 0;
}

int vmstat_cow_ksm_read(const struct host_root *root, uint64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	const int error = host_root_read_proc(root, "vmstat", &text, NULL);

	return error ? error : vmstat_cow_ksm_parse(text, ret);
}
