// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/payoff.h"

#include <math.h>

#include "daemon/extent.h"

/* What breaks at once in a reboot or an update is forgotten after half an hour, what breaks all the
 * time is not. */
#define WINDOW_SECONDS 600.0

/*
 * A fold that breaks costs the guest some us, and ksmd some 20 us to make it again. By what a CPU
 * is worth on hosts of 4 to 16 GiB a CPU (verdict.h) that is what a page is worth in half a minute
 * to two minutes: folds that last for 75 s on average just pay. In the window that is eight breaks
 * for each page that is folded.
 */
#define BREAKS_PER_FOLD 8

/* Looks in a row that paid, after which it is as if it had never lapsed. */
#define LOOKS_TRUST 64

/* After a release the twins that made it look promising are mostly still there: it waits for 16
 * passes, twice as many each time, 512 at most (four hours at the usual pace). */
#define RETRY_PASSES UINT64_C(16)
#define LAPSES_MOST  5

/* A burst that brought too little: the first time for two passes, 64 at most. */
#define DISAPPOINTED_MOST 6

float payoff_kept(double seconds)
{
	return (float)exp(-seconds / WINDOW_SECONDS);
}

static bool breaks_too_often(const struct extent *extent)
{
	return extent->payoff.broken > (float)extent_folds(extent) * BREAKS_PER_FOLD;
}

bool payoff_look(struct extent *extent, unsigned least, float kept)
{
	struct payoff *payoff = &extent->payoff;

	payoff->broken = payoff->broken * kept + (float)(extent->breaks - payoff->breaks);
	payoff->breaks = extent->breaks;
	if (!extent->marked) {
		payoff->paid = payoff->unpaid = 0;
		return false;
	}
	if (extent->fresh || extent->watched)
		return false; /* the burst has not had its say yet */
	if (extent_folds(extent) < least || breaks_too_often(extent)) {
		payoff->paid = 0;
		if (payoff->unpaid < UINT8_MAX)
			payoff->unpaid++;
		return payoff->unpaid == PAYOFF_LOOKS_LEAST;
	}
	payoff->unpaid = 0;
	if (payoff->paid < UINT8_MAX)
		payoff->paid++;
	if (payoff->paid >= LOOKS_TRUST)
		payoff->lapses = 0;
	return false;
}

bool payoff_has_lapsed(const struct extent *extent)
{
	return extent->marked && extent->payoff.unpaid >= PAYOFF_LOOKS_LEAST;
}

bool payoff_thrashes(const struct extent *extent)
{
	return payoff_has_lapsed(extent) && breaks_too_often(extent);
}

void payoff_released(struct extent *extent, uint64_t pass)
{
	struct payoff *payoff = &extent->payoff;

	if (payoff->unpaid >= PAYOFF_LOOKS_LEAST) {
		payoff->retry_pass = pass + (RETRY_PASSES << payoff->lapses);
		if (payoff->lapses < LAPSES_MOST)
			payoff->lapses++;
	}
	payoff->paid = payoff->unpaid = 0;
}

void payoff_disappointed(struct extent *extent, uint64_t pass)
{
	uint64_t retry_pass;

	if (extent->disappointed < DISAPPOINTED_MOST)
		extent->disappointed++;
	retry_pass = pass + (UINT64_C(1) << extent->disappointed);
	if (retry_pass > extent->payoff.retry_pass)
		extent->payoff.retry_pass = retry_pass;
}

unsigned payoff_break_price(const struct extent *extent)
{
	return (unsigned)(extent->payoff.broken / BREAKS_PER_FOLD);
}

bool payoff_may_fold(const struct extent *extent, uint64_t pass)
{
	return pass >= extent->payoff.retry_pass;
}
