// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/pressure.h"

#include <stdio.h>

/* Reclaim begins to be felt long before the last tenth is gone: page cache is dropped that is read
 * again. ksmtuned begins at a fifth of free memory, which does not count the cache. */
#define BEGIN_AVAILABLE_PERCENT 10
#define END_AVAILABLE_PERCENT   15
#define BEGIN_STALLED_PERCENT   5.0
#define END_STALLED_PERCENT     1.0

static bool is_less_available(const struct pressure *now, unsigned percent)
{
	return now->available_bytes / percent < now->total_bytes / 100;
}

bool pressure_is_on(const struct pressure *now, bool was_on)
{
	return was_on ? is_less_available(now, END_AVAILABLE_PERCENT) ||
				now->stalled_percent >= END_STALLED_PERCENT
		      : is_less_available(now, BEGIN_AVAILABLE_PERCENT) ||
				now->stalled_percent >= BEGIN_STALLED_PERCENT;
}

char *pressure_text(const struct pressure *now)
{
	const double available = now->total_bytes
		? (double)now->available_bytes * 100 / (double)now->total_bytes : 0;
	char *text;
	int length;

	if (now->stalled_percent < 0)
		length = asprintf(&text,
			"fold-when = pressure: %.1f %% of memory is available, folding begins below "
			"%d %%", available, BEGIN_AVAILABLE_PERCENT);
	else
		length = asprintf(&text,
			"fold-when = pressure: %.1f %% of memory is available, and something waits "
			"for memory %.2f %% of the time; folding begins below %d %%, or from %.0f %% on",
			available, now->stalled_percent, BEGIN_AVAILABLE_PERCENT,
			BEGIN_STALLED_PERCENT);
	return length < 0 ? NULL : text;
}
