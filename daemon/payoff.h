/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether what was folded in an extent still pays. Pure.
 *
 * A guest that rewrites its memory breaks folds one by one, until the huge page that was given for
 * them is lost for next to nothing; one that writes the same content again and again has it folded
 * again and again.
 */
#ifndef PAGEFOLD_DAEMON_PAYOFF_H
#define PAGEFOLD_DAEMON_PAYOFF_H

#include <stdbool.h>
#include <stdint.h>

struct extent;

/* So many looks in a row must find that an extent does not pay: ten minutes and more as shipped. A guest
 * that has just broken what ksmd folds again with the next burst is no reason to give it up. */
#define PAYOFF_LOOKS_LEAST 20

/* Of one extent. */
struct payoff {
	float broken;    /* folds that broke there; what lies ten minutes back counts a third */
	uint32_t breaks; /* of the extent, that were known at the last look */
	uint8_t paid, unpaid; /* looks in a row that found that it pays, or not; they saturate */
	uint8_t lapses;       /* how often it was released for that */
	uint64_t retry_pass;  /* not to be folded again before */
};

/* So much of what was noted seconds ago still counts. */
float payoff_kept(double seconds);

/* A look at an extent whose folds have just been counted: least of them are worth what they cost.
 * kept: see above, since the look before. True: with this look it has
 * lapsed. */
bool payoff_look(struct extent *extent, unsigned least, float kept);

/* It has not paid for long enough to be released. */
bool payoff_has_lapsed(const struct extent *extent);
/* Because its folds break as fast as they are made: new ones would do no better. */
bool payoff_thrashes(const struct extent *extent);
/* It was released in that pass: for that reason, if it had lapsed. */
void payoff_released(struct extent *extent, uint64_t pass);

/* A burst in that pass brought too little of what was planned there: to be left alone, each time for longer. */
void payoff_disappointed(struct extent *extent, uint64_t pass);

/* Pages more that must fold there, for what broke there before. */
unsigned payoff_break_price(const struct extent *extent);
/* It neither disappointed nor was released for not paying, or long enough ago to be tried again. */
bool payoff_may_fold(const struct extent *extent, uint64_t pass);

#endif
