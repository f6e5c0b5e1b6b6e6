// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/footprint.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/process.h"

/* "size resident shared ..." in pages (proc_pid_statm(5)). */
static int statm_parse(const char *text, struct footprint *footprint)
{
	char *resident, *end;

	footprint->size_pages = strtoull(text, &resident, 10);
	footprint->resident_pages = strtoull(resident, &end, 10);
	return resident == text || end == resident ? -EINVAL : 0;
}

int footprint_read(const struct host_root *root, pid_t pid, struct footprint *ret)
{
	_cleanup_free_ char *statm = NULL;
	struct process_stat stat;
	struct footprint footprint;
	int error;

	error = host_root_read_process(root, pid, "statm", &statm, NULL);
	if (!error)
		error = process_stat_read(root, pid, &stat);
	if (!error)
		error = statm_parse(statm, &footprint);
	if (error)
		return error;
	footprint.faults = stat.minor_faults;
	footprint.cpu_ns = stat.cpu_ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
	*ret = footprint;
	return 0;
}

static uint64_t difference(uint64_t one, uint64_t other)
{
	return one > other ? one - other : other - one;
}

uint64_t footprint_moved(const struct footprint *then, const struct footprint *now)
{
	if (then->size_pages != now->size_pages)
		return FOOTPRINT_NEW_LAYOUT;
	return difference(then->resident_pages, now->resident_pages) +
	       difference(then->faults, now->faults);
}
