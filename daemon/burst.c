// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/burst.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/burst_cost.h"
#include "daemon/burst_knobs.h"
#include "daemon/foreign.h"
#include "daemon/log.h"
#include "daemon/scan_end.h"
#include "daemon/split.h"
#include "hypervisor-glue/ksm.h"

/*
 * ksmd needs two visits to fold a new twin: the first takes its checksum, the second finds it
 * unchanged and looks for the twin (cmp_and_merge_page() in mm/ksm.c). So nothing is over before
 * the second full scan is; nor, where it brought less than half of what was expected, before the
 * third: unless ksmd begins at the beginning (scan_end.h), the first scan may have been the tail of
 * one.
 */
#define SCANS_LEAST      2
#define SCANS_LEAST_POOR 3
/* Pages that were busy in one scan (under I/O, just read) fold in the next; what four scans did not
 * bring does not come. */
#define SCANS_MOST 6

/* A scan that brought less than this share of what was expected was the last one, and so was one that left
 * less than that to come. */
#define SCAN_WORTH_DIVISOR 100
/* The same where the next scan would take so long for each page that is left: ten times as long as
 * a page takes that folds with many others. What is left comes with the next burst. */
#define SCAN_NS_PER_PAGE_MOST (130 * NS_PER_US)

/* Progress is read from the page tables, which takes milliseconds per GiB of RAM that is in small pages: at the
 * end of a scan, and whenever ksmd has worked so many times as long as the last look took. */
#define MEASURE_COST_DIVISOR 20
/* How often it is looked who else became mergeable, and ksmd's pace is set: a millisecond for a hundred
 * processes. */
#define WATCH_NS (250 * NS_PER_MS)
/* Where a burst may bring so much and no more it is looked closer. */
#define LIMITED_WATCH_NS             (BURST_LIMITED_WATCH_MS * NS_PER_MS)
#define LIMITED_MEASURE_COST_DIVISOR 1
/* How often the scan counter is read: a scan of some 10 k pages takes 10 ms, and the end of a long one may be
 * noticed later by such a share of what it took. */
#define POLL_NS      (5 * NS_PER_MS)
#define POLL_DIVISOR 64

/* No wake takes long enough to earn a longer sleep than this at 1 %. */
#define SLEEP_MOST_MS 1000

/* Twenty times what the pages should take at the CPU budget, and never less than a minute. */
#define TIMEOUT_FACTOR 20
#define TIMEOUT_LEAST_NS (60 * NS_PER_S)

const char *burst_end_text(enum burst_end end)
{
	switch (end) {
	case BURST_DONE:
		return "done";
	case BURST_INTERRUPTED:
		return "interrupted";
	case BURST_STRANGER:
		return "stopped: memory of somebody else became mergeable";
	case BURST_WATCHED:
		return "stopped: a snapshot of a folded VM began in the background (userfaultfd)";
	case BURST_LIMITED:
		return "stopped: it has brought as much as may be missing one day";
	case BURST_TIMEOUT:
		return "stopped: it took too long";
	}
	return "?";
}

struct burst {
	struct core *core;
	struct burst_cost *cost;
	int64_t expected_pages; /* at most */
	int64_t least_pages;    /* where all that is new folds with each other only */
	int64_t limit_pages; /* or BURST_NO_LIMIT */
	int64_t pss_before, pss_at_scan; /* pages */
	int64_t pss_held;       /* while ksmd is held at the end of a scan; 0: not measured */
	uint64_t scans_before;
	bool begins_whole; /* the first scan is not the rest of one */
	struct scan_end end;
	uint64_t started_ns, deadline_ns, watch_due_ns, cpu_before_ns;
	uint64_t scan_ended_ns; /* the last one; or when ksmd was started */
	uint64_t scan_cpu_ns;   /* of ksmd until then */
	uint64_t least_scan_ns; /* of ksmd, of the scan that took least */
	uint64_t measure_cost_ns, measured_cpu_ns; /* of us; of ksmd until then */
	uint64_t paced_ns, paced_cpu_ns; /* when ksmd's sleep was last adjusted */
};

static bool is_limited(const struct burst *burst)
{
	return burst->limit_pages != BURST_NO_LIMIT;
}

static uint64_t ksmd_cpu_ns(struct core *core)
{
	uint64_t ns;

	return ksmd_cpu_ns_read(&core->root, &core->driver.ksmd_pid, &ns) == 0 ? ns : 0;
}

/* ---- pace ---- */

/* ksmd's sleep was set for wakes that take the whole stall budget; most take less. */
static void burst_pace(struct burst *burst, uint64_t now_ns)
{
	struct core *core = burst->core;
	const uint64_t cpu_ns = ksmd_cpu_ns(core);
	const double share = (double)(cpu_ns - burst->paced_cpu_ns) /
		(double)(now_ns - burst->paced_ns);
	const double budget = core->config.cpu_percent / 100.0;
	double sleep_ms;

	if (budget >= 1 || is_limited(burst) || now_ns - burst->paced_ns < WATCH_NS / 2)
		return;
	burst->paced_ns = now_ns;
	burst->paced_cpu_ns = cpu_ns;
	if (share <= 0 || share >= 1)
		return;
	/* share = work / (work + sleep) gives the work of a wake, and that the sleep it needs. */
	sleep_ms = (double)burst->end.sleep_ms * share / (1 - share) * (1 - budget) / budget;
	scan_end_pace(&burst->end, sleep_ms < 1               ? 1
				   : sleep_ms > SLEEP_MOST_MS ? SLEEP_MOST_MS
							      : (int64_t)sleep_ms);
}

/* ---- progress ---- */

/* A process that dies keeps what it had when it was last read: what it leaves did not come back by folding.
 * One that is being torn down is still there, without any memory. */
static int64_t target_pss_pages(const struct core *core, struct target *target)
{
	uint64_t bytes;

	if (guest_pss_read(&core->root, &target->guest, &bytes) == 0 && bytes)
		target->burst_pss_bytes = bytes;
	return (int64_t)(target->burst_pss_bytes / PAGE_BYTES);
}

static int64_t pss_pages(const struct core *core)
{
	int64_t pages = 0;

	for (size_t i = 0; i < core->registry.count; i++)
		if (target_wants_folds(core->registry.targets[i], core->active_group))
			pages += target_pss_pages(core, core->registry.targets[i]);
	return pages;
}

static int64_t burst_measure(struct burst *burst)
{
	const uint64_t before_ns = clock_thread_cpu_ns();
	const int64_t pages = pss_pages(burst->core);

	burst->measure_cost_ns = clock_thread_cpu_ns() - before_ns;
	burst->measured_cpu_ns = ksmd_cpu_ns(burst->core);
	return pages;
}

static bool measure_is_due(const struct burst *burst)
{
	const uint64_t worked_ns = ksmd_cpu_ns(burst->core) - burst->measured_cpu_ns;
	const uint64_t divisor =
		is_limited(burst) ? LIMITED_MEASURE_COST_DIVISOR : MEASURE_COST_DIVISOR;

	return worked_ns >= burst->measure_cost_ns * divisor;
}

/* Where nothing is marked any more ksmd sleeps, and no scan of its ends. */
static bool anybody_left(const struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		const struct target *target = core->registry.targets[i];

		if (target_wants_folds(target, core->active_group) &&
			process_alive(&target->guest.process))
			return true;
	}
	return false;
}

static bool strangers_came(const struct core *core)
{
	struct stranger *strangers;
	size_t count;

	if (foreign_survey(core, SURVEY_QUICK, &strangers, &count) < 0)
		return false;
	free(strangers);
	return count > 0;
}

static bool anybody_watched(const struct core *core)
{
	for (size_t i = 0; i < core->registry.count; i++)
		if (target_is_watched(&core->root, core->registry.targets[i]))
			return true;
	return false;
}

/* At the end of each of ksmd's full scans. True: it was the last one worth waiting for. */
static bool scan_judge(struct burst *burst, int64_t pss_now)
{
	const uint64_t scans = burst->end.scans - burst->scans_before;
	const int64_t brought = burst->pss_at_scan - pss_now;
	const int64_t all_brought = burst->pss_before - pss_now;
	const int64_t share = burst->expected_pages / SCAN_WORTH_DIVISOR + 1;
	const int64_t price = (int64_t)(burst->least_scan_ns / SCAN_NS_PER_PAGE_MOST);
	const int64_t worth = price > share ? price : share;

	burst->pss_at_scan = pss_now;
	if (scans < (all_brought < burst->expected_pages / 2 && !burst->begins_whole
				    ? SCANS_LEAST_POOR
				    : SCANS_LEAST))
		return false;
	if (burst->begins_whole && burst->least_pages - all_brought < share)
		return true; /* each page was visited twice, and what was sure to come did */
	return scans >= SCANS_MOST || brought < worth ||
		burst->expected_pages - all_brought < worth;
}

static void scan_count(struct burst *burst, uint64_t now)
{
	const uint64_t cpu_ns = ksmd_cpu_ns(burst->core), took_ns = cpu_ns - burst->scan_cpu_ns;

	if (!burst->least_scan_ns || took_ns < burst->least_scan_ns)
		burst->least_scan_ns = took_ns;
	burst->scan_cpu_ns = cpu_ns;
	burst->scan_ended_ns = now;
	burst_cost_scan(burst->cost, cpu_ns);
}

/* True: the burst is over, and why. */
static bool burst_judge(struct burst *burst, bool scan_ended, uint64_t now, enum burst_end *ret_end)
{
	int64_t pss_now;
	bool over;

	*ret_end = BURST_TIMEOUT;
	if (now >= burst->deadline_ns)
		return true;
	if (scan_ended)
		scan_count(burst, now);
	if (!scan_ended && now < burst->watch_due_ns)
		return false;
	burst->watch_due_ns = now + (is_limited(burst) ? LIMITED_WATCH_NS : WATCH_NS);
	burst_pace(burst, now);

	*ret_end = BURST_STRANGER;
	if (strangers_came(burst->core))
		return true;
	*ret_end = BURST_WATCHED;
	if (anybody_watched(burst->core))
		return true;
	*ret_end = BURST_DONE;
	if (!anybody_left(burst->core))
		return true;
	if (!scan_ended && !measure_is_due(burst))
		return false;
	pss_now = burst_measure(burst);
	burst->pss_held = burst->end.held ? pss_now : 0;
	*ret_end = BURST_LIMITED;
	if (burst->pss_before - pss_now >= burst->limit_pages)
		return true;
	*ret_end = BURST_DONE;
	over = burst->pss_before - pss_now >= burst->expected_pages;
	return (scan_ended && scan_judge(burst, pss_now)) || over;
}

/* Until when the end of a scan may come without being noticed: before ksmd goes on, where it sleeps
 * at all. */
static uint64_t poll_ns(const struct burst *burst, uint64_t now)
{
	const uint64_t patience_ns = (now - burst->scan_ended_ns) / POLL_DIVISOR + POLL_NS;
	const uint64_t slept_ns = (uint64_t)burst->end.sleep_ms * NS_PER_MS / 2;

	if (burst->end.near)
		return SCAN_END_POLL_NS;
	return slept_ns >= POLL_NS && slept_ns < patience_ns ? slept_ns : patience_ns;
}

static enum burst_end burst_watch(struct burst *burst)
{
	for (;;) {
		const uint64_t looked_ns = clock_monotonic_ns();
		const bool scan_ended = scan_end_look(&burst->end, looked_ns);
		enum burst_end end;
		uint64_t now, next;

		if (burst_judge(burst, scan_ended, looked_ns, &end))
			return end;
		/* What cannot be started again has not got to the rest. */
		if (scan_end_go_on(&burst->end) < 0)
			return BURST_INTERRUPTED;
		now = clock_monotonic_ns();
		if (scan_ended)
			burst->paced_ns += now - looked_ns; /* it was held: no sleep of its own */
		next = now + poll_ns(burst, now);
		if (interrupt_sleep_until(burst->core->interrupt,
			    next < burst->watch_due_ns ? next : burst->watch_due_ns))
			return BURST_INTERRUPTED;
	}
}

static uint64_t timeout_ns(const struct core *core, uint64_t expected_pages)
{
	uint64_t marked_pages = expected_pages, needed_ns;

	for (size_t i = 0; i < core->registry.count; i++)
		marked_pages += core->registry.targets[i]->marked_extents * EXTENT_PAGES;
	needed_ns = marked_pages * BURST_NS_PER_PAGE * SCANS_MOST * 100 / core->config.cpu_percent;
	return TIMEOUT_LEAST_NS + needed_ns * TIMEOUT_FACTOR;
}

/* Where that is less than what is expected. */
static int64_t burst_limit(const struct core *core, uint64_t expected_pages)
{
	const struct restraint *restraint = &core->restraint;

	return restraint->limited && restraint->allowance_pages < expected_pages
		? (int64_t)restraint->allowance_pages
		: BURST_NO_LIMIT;
}

/* What the splits free is not ksmd's to bring. They free it all at once: not where there is a limit. */
static void burst_split(struct burst *burst, int64_t pss_begin)
{
	burst->pss_before = pss_begin;
	if (!is_limited(burst) && split_huge_pages(burst->core)) {
		burst->pss_before = burst_measure(burst);
		if (burst->pss_before < pss_begin) {
			burst->expected_pages -= pss_begin - burst->pss_before;
			burst->least_pages -= pss_begin - burst->pss_before;
		}
	}
	burst->pss_at_scan = burst->pss_before;
}

/* From ksmd's start to its stop. */
static int burst_ksmd(struct burst *burst, struct burst_result *result)
{
	struct core *core = burst->core;
	struct burst_cost cost;
	int error;

	burst_cost_begin(core, burst->cpu_before_ns, &cost);
	burst->cost = &cost;
	result->end = burst_watch(burst);
	error = burst_knobs_give_back(core);
	if (!error)
		audit_burst_ended(core);
	result->ksmd_cpu_ns = ksmd_cpu_ns(core) - burst->cpu_before_ns;
	burst_cost_end(&cost, result->ksmd_cpu_ns);
	return error;
}

int burst_run(struct core *core, struct burst_result *ret)
{
	const uint64_t expected_pages = core->plan.saved_pages;
	struct burst burst = {
		.core = core,
		.expected_pages = (int64_t)expected_pages,
		.least_pages = (int64_t)core->plan.saved_pages_least,
		.limit_pages = burst_limit(core, expected_pages),
		.started_ns = clock_monotonic_ns(),
		.cpu_before_ns = ksmd_cpu_ns(core),
	};
	struct burst_result result = { 0 };
	int64_t pss_begin;
	int error;

	error = ksm_full_scans_read(&core->root, &burst.scans_before);
	if (error)
		return error;
	burst.begins_whole = scan_end_is_parked(&core->driver, burst.scans_before);
	pss_begin = burst_measure(&burst);
	burst_split(&burst, pss_begin);
	burst.deadline_ns = burst.started_ns + timeout_ns(core, expected_pages);
	burst.watch_due_ns = burst.started_ns + (is_limited(&burst) ? LIMITED_WATCH_NS : WATCH_NS);
	burst.paced_ns = burst.scan_ended_ns = burst.started_ns;
	burst.paced_cpu_ns = burst.scan_cpu_ns = burst.cpu_before_ns;

	ledger_burst_begins(core);
	canary_offer(&core->canary);
	audit_burst_begins(core);
	error = burst_knobs_take(core, burst.limit_pages);
	if (error)
		return error;
	scan_end_begin(&burst.end, &core->driver, &core->root, burst.scans_before);
	error = burst_ksmd(&burst, &result);

	result.gained_pages = pss_begin - (burst.pss_held ? burst.pss_held : pss_pages(core));
	result.scans = burst.end.scans - burst.scans_before;
	result.wall_ns = clock_monotonic_ns() - burst.started_ns;
	core->driver.ksmd_cpu_ns += result.ksmd_cpu_ns;
	ledger_burst_ended(core, result.scans, result.ksmd_cpu_ns);
	budget_charge(&core->budget, result.ksmd_cpu_ns);
	core->bursts++;
	*ret = result;
	return error;
}
