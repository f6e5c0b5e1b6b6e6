// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/matrix.h"

#include <errno.h>
#include <jansson.h>

#include "daemon/matrix_desk.h"
#include "tests/unit/made_core.h"

static struct core core;

static int teardown(void **state)
{
	(void)state;
	made_core_done(&core);
	return 0;
}

/* A VM with so many pages from content on. */
static struct target *add(pid_t pid, const char *group, unsigned pages, uint64_t content)
{
	struct target *target = made_target(&core, pid, group, 1);

	if (pages)
		made_pages(&target->guest.map.extents[0], 0, pages, content);
	return target;
}

static json_t *document_parse(struct document *document)
{
	json_t *json;

	assert_non_null(document);
	assert_int_equal(document->text[document->length - 1], '\n');
	json = json_loadb(document->text, document->length, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(json);
	document_unref(document);
	return json;
}

static json_t *matrix_parse(void)
{
	struct matrix matrix;
	json_t *json;

	assert_int_equal(matrix_make(&core, &matrix), 0);
	json = document_parse(matrix_document(&matrix));
	matrix_done(&matrix);
	return json;
}

static json_int_t number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

static json_int_t number_of(const json_t *object, const char *key, size_t index)
{
	const json_t *value = json_array_get(json_object_get(object, key), index);

	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

static void test_matrix_of_nobody_is_empty(void **state)
{
	json_t *json = matrix_parse();

	(void)state;
	assert_int_equal(number(json, "schema"), 1);
	assert_int_equal(json_array_size(json_object_get(json, "vms")), 0);
	assert_int_equal(json_array_size(json_object_get(json, "pairs")), 0);
	assert_int_equal(number(json, "pairs_omitted"), 0);
	json_decref(json);
}

static void test_matrix_has_pairs_within_a_group_and_what_saves_most_first(void **state)
{
	json_t *json, *pairs, *first, *second;

	(void)state;
	add(1, "web", 100, 5000);
	add(2, "web", 10, 5000);
	add(3, "db", 100, 5000);
	add(4, "web", 80, 5020);
	core.pass_number = 7;
	json = matrix_parse();
	pairs = json_object_get(json, "pairs");
	assert_int_equal(number(json, "pass"), 7);
	assert_int_equal(json_array_size(json_object_get(json, "vms")), 4);
	assert_int_equal(json_array_size(pairs), 2);
	first = json_array_get(pairs, 0);
	second = json_array_get(pairs, 1);
	assert_int_equal(number_of(first, "pids", 0), 1);
	assert_int_equal(number_of(first, "pids", 1), 4);
	assert_int_equal(number(first, "common_bytes"), 80 * 4096);
	assert_int_equal(number_of(first, "held_bytes", 0), 80 * 4096);
	assert_int_equal(number_of(first, "cross_bytes", 0), 80 * 2048);
	assert_int_equal(number_of(second, "pids", 1), 2);
	assert_int_equal(number_of(second, "cross_bytes", 1), 10 * 2048);
	json_decref(json);
}

static void test_matrix_leaves_out_who_is_off_and_knows_nothing_of_who_was_not_read(void **state)
{
	struct target *off = add(1, "web", 100, 5000);
	json_t *json, *vm;

	(void)state;
	off->policy.mode = MODE_OFF;
	add(2, "web", 0, 0);
	json = matrix_parse();
	assert_int_equal(json_array_size(json_object_get(json, "vms")), 1);
	vm = json_array_get(json_object_get(json, "vms"), 0);
	assert_int_equal(number(vm, "pid"), 2);
	assert_true(json_is_null(json_object_get(vm, "zero_bytes")));
	assert_true(json_is_null(json_object_get(vm, "cross_bytes")));
	assert_true(json_is_null(json_object_get(vm, "uuid")));
	json_decref(json);
}

static void test_a_name_may_be_any_bytes(void **state)
{
	struct target *target = add(1, "web", 5, 5000);
	json_t *json;

	(void)state;
	strcpy(target->guest.vmm.cmdline.name, "\xff\"\\\n");
	json = matrix_parse();
	assert_string_equal(json_string_value(json_object_get(
				    json_array_get(json_object_get(json, "vms"), 0), "name")),
		"\xEF\xBF\xBD\"\\\n");
	json_decref(json);
}

static void test_making_a_matrix_changes_no_page(void **state)
{
	struct extent_prints before;
	struct target *target = add(1, "web", 100, 5000);

	(void)state;
	add(2, "web", 100, 5000);
	before = *target->guest.map.extents[0].prints;
	json_decref(matrix_parse());
	assert_memory_equal(target->guest.map.extents[0].prints, &before, sizeof(before));
}

/* Contents on end, so that every VM has something in common with every other. */
static void test_more_pairs_than_there_is_room_for_are_counted(void **state)
{
	const unsigned vms = 300;
	json_t *json;

	(void)state;
	for (unsigned i = 0; i < vms; i++)
		add((pid_t)(1 + i), "web", 1 + i / 2, 5000);
	json = matrix_parse();
	assert_int_equal(json_array_size(json_object_get(json, "pairs")), MATRIX_PAIRS_MOST);
	assert_int_equal(number(json, "pairs_omitted"), vms * (vms - 1) / 2 - MATRIX_PAIRS_MOST);
	json_decref(json);
}

static void test_a_group_that_is_too_large_is_refused_with_a_sentence(void **state)
{
	struct api_outcome outcome;
	struct matrix_desk desk;

	(void)state;
	for (unsigned i = 0; i <= TWIN_PAIRS_OWNERS_MOST; i++)
		made_target(&core, (pid_t)(1 + i), "web", 0);
	matrix_desk_init(&desk);
	matrix_desk_answer(&desk, &core, &outcome);
	assert_int_equal(outcome.error, -E2BIG);
	assert_non_null(strstr(outcome.message, "1024"));
	assert_null(outcome.document);
	assert_null(matrix_desk_fresh(&desk));
	free(outcome.message);
	matrix_desk_done(&desk);
}

static void test_the_desk_hands_a_fresh_one_out_again(void **state)
{
	struct api_outcome first, second;
	struct matrix_desk desk;

	(void)state;
	add(1, "web", 100, 5000);
	matrix_desk_init(&desk);
	assert_null(matrix_desk_fresh(&desk));
	matrix_desk_answer(&desk, &core, &first);
	assert_int_equal(first.error, 0);
	desk.fresh_until_ns = UINT64_MAX;
	matrix_desk_answer(&desk, &core, &second);
	assert_ptr_equal(second.document, first.document);
	document_unref(second.document);
	desk.fresh_until_ns = 0;
	matrix_desk_answer(&desk, &core, &second);
	assert_ptr_not_equal(second.document, first.document);
	/* Who still has the old one may read on. */
	matrix_desk_done(&desk);
	json_decref(document_parse(first.document));
	json_decref(document_parse(second.document));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_matrix_of_nobody_is_empty, teardown),
		cmocka_unit_test_teardown(
			test_matrix_has_pairs_within_a_group_and_what_saves_most_first, teardown),
		cmocka_unit_test_teardown(
			test_matrix_leaves_out_who_is_off_and_knows_nothing_of_who_was_not_read,
			teardown),
		cmocka_unit_test_teardown(test_a_name_may_be_any_bytes, teardown),
		cmocka_unit_test_teardown(test_making_a_matrix_changes_no_page, teardown),
		cmocka_unit_test_teardown(
			test_more_pairs_than_there_is_room_for_are_counted, teardown),
		cmocka_unit_test_teardown(
			test_a_group_that_is_too_large_is_refused_with_a_sentence, teardown),
		cmocka_unit_test_teardown(test_the_desk_hands_a_fresh_one_out_again, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
