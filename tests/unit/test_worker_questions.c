// SPDX-License-Identifier: GPL-2.0-or-later
/* What is asked of the pass thread and changes nothing; and that the main thread hears of its
 * snapshots. */
#include "daemon/worker.h"

#include "tests/unit/worker_world.h"

static void test_worker_tells_of_a_new_snapshot(void **state)
{
	struct world *world = *state;
	uint64_t pass = 0;

	start(world);
	while (!pass) {
		struct snapshot *snapshot;

		(void)dispatch(world); /* waits */
		snapshot = worker_snapshot(world->worker);
		pass = snapshot->pass_number;
		(void)snapshot_unref(snapshot);
	}
}

static void test_worker_answers_a_question_while_it_sleeps_and_starts_no_pass(void **state)
{
	struct world *world = *state;
	struct snapshot *snapshot;
	struct answer answers[3];

	start(world);
	await_and_drop_pass(world, 1);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		submit(world, API_MATRIX, &answers[i]);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		await_answer(world, &answers[i]);
		assert_int_equal(answers[i].error, 0);
		assert_non_null(answers[i].document);
		assert_non_null(strstr(answers[i].document->text, "\"web1\""));
		(void)document_unref(answers[i].document);
	}
	snapshot = worker_snapshot(world->worker);
	assert_int_equal(snapshot->pass_number, 1);
	(void)snapshot_unref(snapshot);
}

static void test_worker_answers_a_question_in_a_pause(void **state)
{
	struct world *world = *state;
	struct answer pause, question;

	start(world);
	await_and_drop_pass(world, 1);
	submit(world, API_PAUSE, &pause);
	await_answer(world, &pause);
	submit(world, API_MATRIX, &question);
	await_answer(world, &question);
	assert_non_null(question.document);
	(void)document_unref(question.document);
}

static void test_worker_that_stops_cancels_the_questions(void **state)
{
	struct world *world = *state;
	struct answer answers[20];

	start(world);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
		submit(world, API_MATRIX, &answers[i]);
	stop(world);
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		assert_int_equal(answers[i].calls, 1);
		assert_true(answers[i].document || answers[i].error == -ECANCELED);
		(void)document_unref(answers[i].document);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORKER_TEST(test_worker_tells_of_a_new_snapshot),
		WORKER_TEST(test_worker_answers_a_question_while_it_sleeps_and_starts_no_pass),
		WORKER_TEST(test_worker_answers_a_question_in_a_pause),
		WORKER_TEST(test_worker_that_stops_cancels_the_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
