/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the plan said that bursts would bring, beside what the kernel's page tables said afterwards.
 *
 * The outcome is the books after the burst less those before it, taken in the same pass: what broke meanwhile is
 * part of the error. A burst that was cut short is not judged.
 */
#ifndef PAGEFOLD_DAEMON_FORECAST_H
#define PAGEFOLD_DAEMON_FORECAST_H

#include <stdbool.h>
#include <stdint.h>

struct core;

struct forecast {
	int64_t predicted_bytes, delivered_bytes; /* of all that was judged since the daemon's start */
	bool judged;

	/* the burst that is under way */
	bool open;
	int64_t expected_bytes;
	int64_t before_bytes; /* what a target had reclaimed */
};

/* A burst over core->plan begins: what is expected, and the books as they are. */
void forecast_begin(struct core *core);
/* It was carried out to its end, and the books of all have been drawn up since. */
void forecast_judge(struct core *core);
/* It was not: nothing of it is judged. */
void forecast_drop(struct core *core);

#endif
