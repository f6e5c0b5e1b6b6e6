/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether the host is short of memory. Pure: what was read comes from the caller. */
#ifndef PAGEFOLD_DAEMON_PRESSURE_H
#define PAGEFOLD_DAEMON_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

#define PRESSURE_NOT_MEASURED (-1.0)

struct pressure {
	uint64_t total_bytes, available_bytes; /* MemTotal, MemAvailable */
	double stalled_percent; /* of the last ten seconds, some task waited for memory; or PRESSURE_NOT_MEASURED */
};

/*
 * It begins when less than a tenth of the memory is available, or tasks wait for it 5 % of the time; and once it is
 * there it lasts until 15 % are available again and less than 1 % is waited. Folding makes memory available: if
 * both were the same, it would stop at once, to begin again with the next page that somebody takes.
 */
bool pressure_is_on(const struct pressure *now, bool was_on);

/* A sentence: what there is, and when folding would begin. The caller frees it; NULL: no memory. */
char *pressure_text(const struct pressure *now);

#endif
