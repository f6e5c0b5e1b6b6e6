/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether folding is worth what it costs. Pure: the clock and the numbers are the caller's.
 *
 * The measure is the host's own: somebody bought so much memory with so many CPUs. Folding is worth
 * it where it gives clearly more of the memory than it takes of the CPUs, and costs more than it
 * gives where it takes more.
 */
#ifndef PAGEFOLD_DAEMON_VERDICT_H
#define PAGEFOLD_DAEMON_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

enum verdict_word {
	VERDICT_UNKNOWN,
	VERDICT_WORTH_IT,
	VERDICT_MARGINAL,
	VERDICT_COSTS_MORE,
};

/* NULL where it is not known. */
const char *verdict_word_name(enum verdict_word word);

/* What was spent, the last hour's worth: what is older counts ever less. It begins at nothing, so
 * that what a first scan and a first burst cost is spread over an hour. All 0: nothing was noted
 * yet. */
struct verdict_costs {
	uint64_t noted_ns; /* CLOCK_MONOTONIC */
	double cpu_seconds,
		stall_seconds; /* all ever, as last noted; stall negative: not measured */
	double cpu_per_hour, stall_per_hour;
};

/* Both counters only rise. stall_seconds negative: it is not measured. */
void verdict_costs_note(
	struct verdict_costs *costs, uint64_t now_ns, double cpu_seconds, double stall_seconds);

/* What a CPU is worth here. */
struct verdict_host {
	int64_t memory_bytes;
	unsigned cpus;
};

/* Numbers that are not known are NOT_MEASURED or SECONDS_NOT_MEASURED (snapshot.h). */
struct verdict {
	enum verdict_word word;
	int64_t net_bytes; /* gained at this moment, less metadata */
	double cpu_seconds_per_hour, stall_seconds_per_hour;
	int64_t bytes_per_cpu_second; /* net_bytes for each of them */
	int64_t bytes_per_stall_second;
	int64_t break_even_bytes; /* what one must give, here, to be worth it */
};

void verdict_init(struct verdict *verdict); /* nothing is known */

/* Judges anew; what verdict said before is the hysteresis. net_bytes NOT_MEASURED, or a host that
 * nothing is known of: unknown. */
void verdict_judge(struct verdict *verdict, const struct verdict_costs *costs, int64_t net_bytes,
	const struct verdict_host *host);

/* The numbers behind it in a sentence; the caller frees it. NULL: not known, or no memory. */
char *verdict_text(const struct verdict *verdict);

#endif
