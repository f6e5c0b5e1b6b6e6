// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/scan_end.h"

#include "common/clock.h"
#include "hypervisor-glue/ksm.h"

/* Of a scan, from where on its end is near. It may have become shorter than the one before. */
#define NEAR_DIVISOR 8

static int64_t pages_scanned(const struct scan_end *end)
{
	struct ksm_counters counters;

	return ksm_counters_read(end->root, &counters) == 0 ? counters.pages_scanned
							    : KSM_KNOB_ABSENT;
}

/* A failure is no harm: the next scan ends somewhere else then. */
static void sleep_set(const struct scan_end *end)
{
	const bool more = end->near && end->sleep_ms < SCAN_END_SLEEP_MS;

	(void)ksm_sleep_write(end->root, more ? SCAN_END_SLEEP_MS : end->sleep_ms);
}

bool scan_end_is_parked(const struct driver *driver, uint64_t scans)
{
	return driver->parked && driver->parked_scans == scans;
}

void scan_end_begin(
	struct scan_end *end, struct driver *driver, const struct host_root *root, uint64_t scans)
{
	struct ksm_knobs knobs;

	*end = (struct scan_end){
		.driver = driver,
		.root = root,
		.scans = scans,
		.began_at = KSM_KNOB_ABSENT,
	};
	if (ksm_knobs_read(root, &knobs) == 0)
		end->sleep_ms = knobs.sleep_millisecs;
	if (scan_end_is_parked(driver, scans))
		end->began_at = pages_scanned(end);
	driver->parked = false;
}

/* Stopped soon enough after the look before, it has not gone on meanwhile. */
static void ended(struct scan_end *end, uint64_t now_ns)
{
	const int64_t slept_ms =
		end->near && end->sleep_ms < SCAN_END_SLEEP_MS ? SCAN_END_SLEEP_MS : end->sleep_ms;
	const int64_t pages = pages_scanned(end);

	if (end->began_at != KSM_KNOB_ABSENT && pages != KSM_KNOB_ABSENT)
		end->driver->scan_pages = pages - end->began_at;
	end->held = ksm_run_write(end->root, 0) == 0;
	end->driver->parked =
		end->held && now_ns - end->looked_ns < (uint64_t)slept_ms * NS_PER_MS * 2 / 3;
	end->driver->parked_scans = end->scans;
	end->began_at = pages;
	end->near = false;
}

bool scan_end_look(struct scan_end *end, uint64_t now_ns)
{
	uint64_t scans = end->scans;
	int64_t pages, whole = end->driver->scan_pages;
	bool over;

	(void)ksm_full_scans_read(end->root, &scans);
	over = scans != end->scans;
	end->scans = scans;
	if (over)
		ended(end, now_ns);
	end->looked_ns = now_ns;
	if (over || end->near || end->began_at == KSM_KNOB_ABSENT || !whole)
		return over;
	pages = pages_scanned(end);
	if (pages - end->began_at >= whole - whole / NEAR_DIVISOR) {
		end->near = true;
		sleep_set(end);
	}
	return false;
}

int scan_end_go_on(struct scan_end *end)
{
	int error;

	if (!end->held)
		return 0;
	sleep_set(end);
	error = ksm_run_write(end->root, 1);
	if (error)
		return error;
	end->held = end->driver->parked = false;
	return 0;
}

void scan_end_pace(struct scan_end *end, int64_t sleep_ms)
{
	end->sleep_ms = sleep_ms;
	sleep_set(end);
}
