// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/host_pressure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* "some avg10=0.12 avg60=..." (Documentation/accounting/psi.rst), always two digits behind the
 * point. */
int host_pressure_parse(const char *text, double *ret_percent)
{
	static const char start[] = "some avg10=";
	unsigned long whole, hundredths;
	char *end;

	if (strncmp(text, start, strlen(start)) != 0)
		return -EINVAL;
	text += strlen(start);
	/* Not strtod(), which asks the locale what a point is. */
	whole = strtoul(text, &end, 10);
	if (end == text || *text < '0' || *text > '9' || *end != '.' || whole > 100)
		return -EINVAL;
	text = end + 1;
	hundredths = strtoul(text, &end, 10);
	if (end != text + 2 || *text < '0' || *text > '9')
		return -EINVAL;
	*ret_percent = (double)whole + (double)hundredths / 100;
	return 0;
}

int host_pressure_read(const struct host_root *root, double *ret_percent)
{
	_cleanup_free_ char *text = NULL;
	const int error = host_root_read_proc(root, "pressure/memory", &text, NULL);

	return error ? error : host_pressure_parse(text, ret_percent);
}
