/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How the main thread gets a word in: the pass thread asks between any two small steps whether it
 * should stop, and sleeps in a way that can be cut short.
 */
#ifndef PAGEFOLD_DAEMON_INTERRUPT_H
#define PAGEFOLD_DAEMON_INTERRUPT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct interrupt {
	atomic_bool raised;             /* drop what you do: pause, release, quit */
	atomic_uint_fast64_t beaten_ns; /* CLOCK_MONOTONIC: the pass thread was alive then */
	int event_fd;                   /* readable while raised or woken */
};

int interrupt_init(struct interrupt *interrupt);
void interrupt_done(struct interrupt *interrupt);

/* From any thread. */
void interrupt_raise(struct interrupt *interrupt);
/* Ends a sleep without asking to stop. */
void interrupt_wake(struct interrupt *interrupt);
/* Raised: false until the next raise. Pass thread only. Clear first, then look at what was asked for: a
 * raise says that something is new, and whoever looks afterwards sees it. */
void interrupt_clear(struct interrupt *interrupt);

/* Also the pass thread's heartbeat, so call it often. */
bool interrupt_raised(struct interrupt *interrupt);
/* Sleeps until the time (CLOCK_MONOTONIC) or until raised or woken. True if raised. */
bool interrupt_sleep_until(struct interrupt *interrupt, uint64_t deadline_ns);
/* The pass thread is about to wait for somebody else, until then at the latest: no reason to worry before.
 * It ends with the next heartbeat. */
void interrupt_expect_silence(struct interrupt *interrupt, uint64_t until_ns);
/* Age of the last heartbeat. A sleeping pass thread counts as alive until its deadline. */
uint64_t interrupt_heartbeat_age_ns(struct interrupt *interrupt);

#endif
