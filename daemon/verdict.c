// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/verdict.h"

#include <math.h>
#include <stdio.h>

#include "common/clock.h"
#include "daemon/snapshot.h"

/* Long enough for a first scan and a first burst to be paid back, and short enough for a VM that
 * has begun to rewrite its memory to be seen within the hour. */
#define HORIZON_SECONDS 3600.0

/* A second for which a guest's thread stands still is worse than one of ours: a CPU is taken from
 * it and somebody waits, while we run at a tenth of a core on CPUs that are mostly idle. */
#define STALL_WEIGHT 4.0

/* Twice what it costs leaves room for what is not measured: caches, TLB misses, memory bandwidth.
 */
#define WORTH_IT_RATIO 2.0
/* Who is on one side of a line goes over it only with a quarter to spare. */
#define HYSTERESIS 1.25

/* Less than a tick an hour: nobody can tell what is got for it. */
#define SECONDS_LEAST 0.001

#define MIB ((double)(1 << 20))

const char *verdict_word_name(enum verdict_word word)
{
	switch (word) {
	case VERDICT_UNKNOWN:
		return NULL;
	case VERDICT_WORTH_IT:
		return "worth it";
	case VERDICT_MARGINAL:
		return "marginal";
	case VERDICT_COSTS_MORE:
		return "costs more than it gives";
	}
	return NULL;
}

/* ---- costs ---- */

static double risen(double before, double now)
{
	return now > before ? now - before : 0;
}

void verdict_costs_note(
	struct verdict_costs *costs, uint64_t now_ns, double cpu_seconds, double stall_seconds)
{
	const double seconds = costs->noted_ns && now_ns > costs->noted_ns
				       ? (double)(now_ns - costs->noted_ns) / (double)NS_PER_S
				       : 0;
	const double kept = exp(-seconds / HORIZON_SECONDS);

	costs->cpu_per_hour = costs->cpu_per_hour * kept + risen(costs->cpu_seconds, cpu_seconds);
	/* What was stalled before it was measured is nobody's news of this hour. */
	if (stall_seconds >= 0)
		costs->stall_per_hour =
			costs->stall_per_hour * kept +
			(costs->noted_ns && costs->stall_seconds < 0
					? 0
					: risen(costs->stall_seconds, stall_seconds));
	costs->cpu_seconds = cpu_seconds;
	costs->stall_seconds = stall_seconds >= 0 ? stall_seconds : SECONDS_NOT_MEASURED;
	costs->noted_ns = now_ns;
}

/* ---- judging ---- */

void verdict_init(struct verdict *verdict)
{
	*verdict = (struct verdict){
		.word = VERDICT_UNKNOWN,
		.net_bytes = NOT_MEASURED,
		.cpu_seconds_per_hour = SECONDS_NOT_MEASURED,
		.stall_seconds_per_hour = SECONDS_NOT_MEASURED,
		.bytes_per_cpu_second = NOT_MEASURED,
		.bytes_per_stall_second = NOT_MEASURED,
		.break_even_bytes = NOT_MEASURED,
	};
}

static enum verdict_word word_of(double ratio, enum verdict_word before)
{
	const double worth_it =
		before == VERDICT_WORTH_IT ? WORTH_IT_RATIO / HYSTERESIS : WORTH_IT_RATIO;
	const double even = before == VERDICT_COSTS_MORE ? HYSTERESIS : 1;

	return ratio >= worth_it ? VERDICT_WORTH_IT
	       : ratio >= even   ? VERDICT_MARGINAL
				 : VERDICT_COSTS_MORE;
}

static int64_t for_each(int64_t bytes, double seconds)
{
	return seconds >= SECONDS_LEAST ? (int64_t)((double)bytes / seconds) : NOT_MEASURED;
}

void verdict_judge(struct verdict *verdict, const struct verdict_costs *costs, int64_t net_bytes,
	const struct verdict_host *host)
{
	const enum verdict_word before = verdict->word;
	const double stall = costs->stall_seconds < 0 ? 0 : costs->stall_per_hour;
	double seconds = costs->cpu_per_hour + STALL_WEIGHT * stall;

	verdict_init(verdict);
	if (!costs->noted_ns || net_bytes == NOT_MEASURED)
		return;
	verdict->net_bytes = net_bytes;
	verdict->cpu_seconds_per_hour = costs->cpu_per_hour;
	verdict->bytes_per_cpu_second = for_each(net_bytes, costs->cpu_per_hour);
	if (costs->stall_seconds >= 0) {
		verdict->stall_seconds_per_hour = stall;
		verdict->bytes_per_stall_second = for_each(net_bytes, stall);
	}
	if (host->memory_bytes <= 0 || !host->cpus)
		return;
	/* An hour of all CPUs for an hour of all memory. */
	verdict->break_even_bytes =
		(int64_t)((double)host->memory_bytes / (host->cpus * HORIZON_SECONDS));
	if (seconds < SECONDS_LEAST)
		seconds = SECONDS_LEAST;
	verdict->word =
		net_bytes <= 0
			? VERDICT_COSTS_MORE
			: word_of((double)net_bytes / seconds / (double)verdict->break_even_bytes,
				  before);
}

char *verdict_text(const struct verdict *verdict)
{
	char stall[96] = "delays of the guest not measured", *text;

	if (verdict->word == VERDICT_UNKNOWN)
		return NULL;
	if (verdict->stall_seconds_per_hour >= 0)
		(void)snprintf(stall, sizeof(stall),
			"%.3f s of delay in the guest (each counts as %.0f)",
			verdict->stall_seconds_per_hour, STALL_WEIGHT);
	if (asprintf(&text,
		    "%.1f MiB net for %.2f s of CPU an hour and %s; on this host a second of CPU "
		    "an hour is "
		    "worth %.1f MiB",
		    (double)verdict->net_bytes / MIB, verdict->cpu_seconds_per_hour, stall,
		    (double)verdict->break_even_bytes / MIB) < 0)
		return NULL;
	return text;
}
