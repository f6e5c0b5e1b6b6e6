/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where ksmd is in its full scan, and stopping it at the end of one.
 *
 * ksmd goes on where it was stopped. Stopped in the middle of a scan, it spends the first scan of
 * the next burst on the rest of that one, which is old folds for the most part; and a process that
 * is marked meanwhile comes to stand behind where it is (__ksm_enter() in mm/ksm.c), and is not
 * visited before the scan after that. At the end of a scan a wake of ksmd ends, too
 * (scan_get_next_rmap_item() has nothing to give), and it sleeps for sleep_millisecs: there it is
 * to be stopped. Where it does not sleep otherwise it is made to for the last part of each scan.
 */
#ifndef PAGEFOLD_DAEMON_SCAN_END_H
#define PAGEFOLD_DAEMON_SCAN_END_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/driver.h"

/* Three ticks of a kernel with the fewest usual ones (250 a second), of which two are sure to be
 * slept. */
#define SCAN_END_SLEEP_MS 12
/* How often it is looked whether the end has come. */
#define SCAN_END_POLL_NS UINT64_C(2000000)

/* In one burst. */
struct scan_end {
	struct driver *driver;
	const struct host_root *root;
	uint64_t scans;   /* of ksmd, as last looked at */
	int64_t began_at; /* pages_scanned when this one began; KSM_KNOB_ABSENT: not known */
	bool near; /* it does not take long any more: sleeps are SCAN_END_SLEEP_MS at least */
	bool held; /* ksmd is stopped there */
	uint64_t looked_ns;
	int64_t sleep_ms; /* as it is when the end is not near */
};

/* ksmd was started just now: scans were its full scans before. */
void scan_end_begin(
	struct scan_end *end, struct driver *driver, const struct host_root *root, uint64_t scans);
/* ksmd goes on at the beginning of a scan: nobody has moved it since a burst that ended there. */
bool scan_end_is_parked(const struct driver *driver, uint64_t scans);

/* Takes a look; true: a scan has ended since the last one, and ksmd is stopped. What cannot be read
 * has not ended. */
bool scan_end_look(struct scan_end *end, uint64_t now_ns);
/* Lets it go on where it was stopped by that. 0 or -errno: it is stopped still. */
int scan_end_go_on(struct scan_end *end);
/* Another sleep between wakes from now on; sleeps near the end are not shortened by it. */
void scan_end_pace(struct scan_end *end, int64_t sleep_ms);

#endif
