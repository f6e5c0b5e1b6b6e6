// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"

int interrupt_init(struct interrupt *interrupt)
{
	interrupt->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (interrupt->event_fd < 0)
		return -errno;
	atomic_init(&interrupt->raised, false);
	atomic_init(&interrupt->beaten_ns, clock_monotonic_ns());
	return 0;
}

void interrupt_done(struct interrupt *interrupt)
{
	close_fd(interrupt->event_fd);
	interrupt->event_fd = -1;
}

void interrupt_wake(struct interrupt *interrupt)
{
	const uint64_t one = 1;

	/* Fails only when the counter is full, which is as readable as it gets. */
	if (write(interrupt->event_fd, &one, sizeof(one)) < 0)
		return;
}

void interrupt_raise(struct interrupt *interrupt)
{
	atomic_store(&interrupt->raised, true);
	interrupt_wake(interrupt);
}

static void event_drain(struct interrupt *interrupt)
{
	uint64_t count;

	if (read(interrupt->event_fd, &count, sizeof(count)) < 0)
		return; /* EAGAIN: nothing there */
}

void interrupt_clear(struct interrupt *interrupt)
{
	/* First the flag: a raise from here on sets it again, whatever becomes of its event. */
	atomic_store(&interrupt->raised, false);
	event_drain(interrupt);
}

static void heartbeat(struct interrupt *interrupt, uint64_t until_ns)
{
	atomic_store_explicit(&interrupt->beaten_ns, until_ns, memory_order_relaxed);
}

bool interrupt_raised(struct interrupt *interrupt)
{
	heartbeat(interrupt, clock_monotonic_ns());
	return atomic_load(&interrupt->raised);
}

bool interrupt_sleep_until(struct interrupt *interrupt, uint64_t deadline_ns)
{
	struct pollfd poll_fd = { .fd = interrupt->event_fd, .events = POLLIN };

	while (!interrupt_raised(interrupt)) {
		const uint64_t now = clock_monotonic_ns();
		struct timespec left;
		int ready;

		if (now >= deadline_ns)
			return false;
		heartbeat(interrupt, deadline_ns);
		left.tv_sec = (time_t)((deadline_ns - now) / NS_PER_S);
		left.tv_nsec = (long)((deadline_ns - now) % NS_PER_S);
		ready = ppoll(&poll_fd, 1, &left, NULL);
		if (ready > 0 && !interrupt_raised(interrupt)) {
			event_drain(interrupt);
			return interrupt_raised(interrupt);
		}
	}
	return true;
}

void interrupt_expect_silence(struct interrupt *interrupt, uint64_t until_ns)
{
	heartbeat(interrupt, until_ns);
}

uint64_t interrupt_heartbeat_age_ns(struct interrupt *interrupt)
{
	const uint64_t beaten =
		atomic_load_explicit(&interrupt->beaten_ns, memory_order_relaxed);
	const uint64_t now = clock_monotonic_ns();

	return beaten >= now ? 0 : now - beaten;
}
