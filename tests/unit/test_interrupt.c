// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/interrupt.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"

/* A sleep that nothing ends ends the test. */
#define FOREVER   UINT64_MAX
#define TEST_MOST 60u
#define ROUNDS    20000u

static int setup(void **state)
{
	static struct interrupt interrupt;

	(void)alarm(TEST_MOST);
	*state = &interrupt;
	return interrupt_init(&interrupt);
}

static int teardown(void **state)
{
	interrupt_done(*state);
	(void)alarm(0);
	return 0;
}

static bool is_readable(const struct interrupt *interrupt)
{
	struct pollfd poll_fd = { .fd = interrupt->event_fd, .events = POLLIN };

	return poll(&poll_fd, 1, 0) == 1;
}

static void test_interrupt_is_not_raised_at_first(void **state)
{
	struct interrupt *interrupt = *state;

	assert_false(interrupt_raised(interrupt));
	assert_false(is_readable(interrupt));
}

static void test_interrupt_stays_raised_until_it_is_cleared(void **state)
{
	struct interrupt *interrupt = *state;

	interrupt_raise(interrupt);
	interrupt_raise(interrupt);
	assert_true(interrupt_raised(interrupt));
	assert_true(interrupt_sleep_until(interrupt, FOREVER));
	assert_true(interrupt_raised(interrupt));
	interrupt_clear(interrupt);
	assert_false(interrupt_raised(interrupt));
	assert_false(is_readable(interrupt));
}

static void test_interrupt_sleep_ends_at_its_deadline_and_not_before(void **state)
{
	const uint64_t deadline_ns = clock_monotonic_ns() + 20 * NS_PER_MS;

	assert_false(interrupt_sleep_until(*state, deadline_ns));
	assert_true(clock_monotonic_ns() >= deadline_ns);
	assert_false(interrupt_sleep_until(*state, 0));
}

static void test_interrupt_wake_ends_one_sleep_and_asks_for_nothing(void **state)
{
	struct interrupt *interrupt = *state;

	interrupt_wake(interrupt);
	assert_false(interrupt_sleep_until(interrupt, FOREVER));
	assert_false(interrupt_raised(interrupt));
	assert_false(is_readable(interrupt));
}

static void test_interrupt_raise_after_a_wake_is_seen(void **state)
{
	struct interrupt *interrupt = *state;

	interrupt_wake(interrupt);
	interrupt_raise(interrupt);
	assert_true(interrupt_sleep_until(interrupt, FOREVER));
}

static void *raise_soon(void *arg)
{
	interrupt_raise(arg);
	return NULL;
}

static void *wake_soon(void *arg)
{
	interrupt_wake(arg);
	return NULL;
}

static void test_interrupt_raise_of_another_thread_ends_a_sleep(void **state)
{
	struct interrupt *interrupt = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, raise_soon, interrupt), 0);
	assert_true(interrupt_sleep_until(interrupt, FOREVER));
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_interrupt_wake_of_another_thread_ends_a_sleep(void **state)
{
	struct interrupt *interrupt = *state;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, wake_soon, interrupt), 0);
	assert_false(interrupt_sleep_until(interrupt, FOREVER));
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- nothing is lost between two threads ---- */

struct conversation {
	struct interrupt *interrupt;
	atomic_uint asked, seen;
};

static void *ask_often(void *arg)
{
	struct conversation *conversation = arg;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		atomic_store(&conversation->asked, i);
		interrupt_raise(conversation->interrupt);
		while (i % 64 == 0 && atomic_load(&conversation->seen) != i)
			;
	}
	return NULL;
}

/* Clear, look, sleep: as the pass thread does. If a raise could fall between, the last sleep would never
 * end. */
static void test_interrupt_no_raise_is_lost(void **state)
{
	struct conversation conversation = { .interrupt = *state };
	pthread_t thread;

	atomic_init(&conversation.asked, 0);
	atomic_init(&conversation.seen, 0);
	assert_int_equal(pthread_create(&thread, NULL, ask_often, &conversation), 0);
	for (;;) {
		interrupt_clear(conversation.interrupt);
		atomic_store(&conversation.seen, atomic_load(&conversation.asked));
		if (atomic_load(&conversation.seen) == ROUNDS)
			break;
		/* It may end early, by the event of a raise whose flag was cleared already. */
		(void)interrupt_sleep_until(conversation.interrupt, FOREVER);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- the heartbeat ---- */

static void test_interrupt_asking_is_a_heartbeat(void **state)
{
	struct interrupt *interrupt = *state;

	atomic_store(&interrupt->beaten_ns, clock_monotonic_ns() - 5 * NS_PER_S);
	assert_true(interrupt_heartbeat_age_ns(interrupt) >= 5 * NS_PER_S);
	(void)interrupt_raised(interrupt);
	assert_true(interrupt_heartbeat_age_ns(interrupt) < NS_PER_S);
}

static void test_interrupt_a_sleeper_is_alive_until_its_deadline(void **state)
{
	struct interrupt *interrupt = *state;
	pthread_t thread;

	/* What a sleep leaves behind while it lasts. */
	atomic_store(&interrupt->beaten_ns, clock_monotonic_ns() + 60 * NS_PER_S);
	assert_int_equal(interrupt_heartbeat_age_ns(interrupt), 0);
	/* And a sleep that was cut short is over. */
	assert_int_equal(pthread_create(&thread, NULL, raise_soon, interrupt), 0);
	assert_true(interrupt_sleep_until(interrupt, FOREVER));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(atomic_load(&interrupt->beaten_ns) <= clock_monotonic_ns());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define INTERRUPT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		INTERRUPT_TEST(test_interrupt_is_not_raised_at_first),
		INTERRUPT_TEST(test_interrupt_stays_raised_until_it_is_cleared),
		INTERRUPT_TEST(test_interrupt_sleep_ends_at_its_deadline_and_not_before),
		INTERRUPT_TEST(test_interrupt_wake_ends_one_sleep_and_asks_for_nothing),
		INTERRUPT_TEST(test_interrupt_raise_after_a_wake_is_seen),
		INTERRUPT_TEST(test_interrupt_raise_of_another_thread_ends_a_sleep),
		INTERRUPT_TEST(test_interrupt_wake_of_another_thread_ends_a_sleep),
		INTERRUPT_TEST(test_interrupt_no_raise_is_lost),
		INTERRUPT_TEST(test_interrupt_asking_is_a_heartbeat),
		INTERRUPT_TEST(test_interrupt_a_sleeper_is_alive_until_its_deadline),
	};

	return cmocka_run_group_tests_name("interrupt", tests, NULL, NULL);
}
