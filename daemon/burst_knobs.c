// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/burst_knobs.h"

#include <string.h>

#include "common/clock.h"
#include "daemon/log.h"
#include "hypervisor-glue/ksm.h"

/* With sleep_millisecs = 0 ksmd yields between batches but never sleeps. */
#define CPU_PERCENT_FLAT_OUT 100

/* What is folded between two looks at it is at most two wakes' worth. */
#define LIMITED_WAKES       32
#define LIMITED_PAGES_LEAST 64

/* ksmd stops at each of its wakes long enough for a look at what it brought. */
static void knobs_limit(struct ksm_knobs *knobs, int64_t limit_pages)
{
	const int64_t pages = limit_pages / LIMITED_WAKES;

	if (pages < knobs->pages_to_scan)
		knobs->pages_to_scan = pages < LIMITED_PAGES_LEAST ? LIMITED_PAGES_LEAST : pages;
	if (knobs->sleep_millisecs < BURST_LIMITED_WATCH_MS)
		knobs->sleep_millisecs = BURST_LIMITED_WATCH_MS;
}

static struct ksm_knobs knobs_for(
	const struct core *core, const struct ksm_knobs *now, int64_t limit_pages)
{
	const uint64_t budget_ns = core->config.stall_budget_ms * NS_PER_MS;
	const unsigned percent = core->config.cpu_percent;
	struct ksm_knobs knobs = *now;

	knobs.run = 1;
	knobs.pages_to_scan = (int64_t)(budget_ns / BURST_NS_PER_PAGE);
	/* Work a budget's worth, then sleep until it is percent of the time. */
	knobs.sleep_millisecs = percent >= CPU_PERCENT_FLAT_OUT
		? 0
		: (int64_t)(core->config.stall_budget_ms * (100 - percent) / percent);
	if (limit_pages != BURST_NO_LIMIT)
		knobs_limit(&knobs, limit_pages);
	if (knobs.smart_scan != KSM_KNOB_ABSENT)
		knobs.smart_scan = 0; /* it delays pages that failed before by up to eight scans */
	if (knobs.advisor_scan_time != KSM_KNOB_ABSENT)
		knobs.advisor_scan_time = 0; /* it would overwrite pages_to_scan */
	/* Zero pages folded this way can be undone and counted since Linux 6.6; before that they stay zero
	 * pages after a release, which costs a fault each when written. */
	if (knobs.use_zero_pages != KSM_KNOB_ABSENT)
		knobs.use_zero_pages = 1;
	return knobs;
}

/* The debt is on disk before the first knob is touched. */
int burst_knobs_take(struct core *core, int64_t limit_pages)
{
	struct driver *driver = &core->driver;
	struct ksm_knobs now, wanted;
	int error;

	error = ksm_knobs_read(&core->root, &now);
	if (error)
		return error;
	if (!driver->owes) {
		driver->owed = now;
		driver->owes = true;
		error = core_record(core);
		if (error) {
			driver->owes = false;
			return error;
		}
	}
	wanted = knobs_for(core, &now, limit_pages);
	error = ksm_knobs_write(&core->root, &wanted);
	if (error)
		(void)driver_restore(driver, &core->root, true);
	return error;
}

int burst_knobs_give_back(struct core *core)
{
	const int stopped = ksm_run_write(&core->root, 0);
	const int error = driver_restore(&core->driver, &core->root, true);

	if (stopped || error)
		log_error("KSM's knobs could not be restored: %s; tried again at the next burst and at "
			  "the end", strerror(-(stopped ? stopped : error)));
	return core_record(core);
}
