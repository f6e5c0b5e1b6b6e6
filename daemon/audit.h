/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * After a burst: whether somebody who was not asked for got into the shared frames of the active
 * group, because its memory became mergeable while ksmd ran. Frame by frame, and only where there
 * is such a somebody; it is put out of the frames again, and said. The kernel's zero page is
 * everybody's, and tells nobody anything.
 */
#ifndef PAGEFOLD_DAEMON_AUDIT_H
#define PAGEFOLD_DAEMON_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct core;
struct stranger;

struct audit {
	bool due;     /* ksmd ran since the last audit that found, or left, all frames apart */
	bool at_once; /* and a stranger was there in the end: the next pass, and thereby the audit,
			 is now */
	uint64_t frames; /* found shared with strangers so far */
	uint64_t left;   /* of which still were at the end of the last audit */
	char *finding;   /* the last one, for `status`; NULL: none, or long ago */
	uint64_t finding_until_ns;
};

/* ksmd is about to run. */
void audit_burst_begins(struct core *core);
/* ksmd has stopped. A survey of the host says whether there is anything to audit. */
void audit_burst_ended(struct core *core);

/* If one is due: compares, gives copies of their own to the VMs of the active group whose frames a
 * stranger shares (or, with take-over = yes, to the stranger), within the headroom, and remembers
 * what to say. The registry must be up to date, and mapped. */
void audit_take(struct core *core);

/*
 * Which frames of the active group's folds the strangers have, too. ret_counts[] is how many each
 * of them shares, *ret_frames how many there are; the extents they are in are `exposed` from now
 * on, and no others. What we marked ourselves in a stranger (its group changed) is not counted:
 * that is released as a whole. 0 or -errno.
 */
int audit_compare(struct core *core, const struct stranger *strangers, size_t stranger_count,
	uint64_t *ret_counts, uint64_t *ret_frames);

void audit_done(struct audit *audit);

#endif
