// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/state.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <signal.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "tests/unit/temp_dir.h"

#define BOOT       "11111111-2222-3333-4444-555555555555"
#define OTHER_BOOT "aaaaaaaa-2222-3333-4444-555555555555"
#define START      (UINT64_C(0x7f0000000000))

static int setup(void **state)
{
	static struct temp_dir dir;

	dir = temp_dir_make();
	*state = &dir;
	return 0;
}

static int teardown(void **state)
{
	temp_dir_remove(*state);
	return 0;
}

/* A record with something of everything. */
struct sample {
	struct state state;
	struct state_target targets[2];
	struct state_extent extents[3];
	uint8_t shared[EXTENT_PAGES];
};

static void sample_init(struct sample *sample)
{
	*sample = (struct sample){
		.state = {
			.boot_id = BOOT,
			.paused = true,
			.active_group = "web",
			.have_knobs = true,
			.knobs = { 1, 100, 20, 1, 0, KSM_KNOB_ABSENT },
			.targets = sample->targets,
			.target_count = 2,
		},
	};
	for (unsigned i = 0; i < EXTENT_PAGES; i++)
		sample->shared[i] = (uint8_t)i;
	for (uint64_t i = 0; i < 3; i++)
		sample->extents[i] = (struct state_extent){
			.start = START + i * EXTENT_BYTES,
			.end = START + (i + 1) * EXTENT_BYTES,
			.advice = (uint8_t)i,
			.zero_before = (uint16_t)(i * 256),
			.was_huge = i == 1,
		};
	sample->extents[2].shared_before = sample->shared;
	sample->targets[0] = (struct state_target){
		.id = { 4711, 123456789012 },
		.extents = sample->extents,
		.extent_count = 3,
	};
	sample->targets[1] = (struct state_target){
		.id = { 1, 0 },
		.held = true,
		.held_policy = (char *)(uintptr_t)"merge web auto balance",
	};
}

static void assert_extents_equal(const struct state_extent *a, const struct state_extent *b)
{
	assert_int_equal(a->start, b->start);
	assert_int_equal(a->end, b->end);
	assert_int_equal(a->advice, b->advice);
	assert_int_equal(a->zero_before, b->zero_before);
	assert_int_equal(a->was_huge, b->was_huge);
	assert_int_equal(!a->shared_before, !b->shared_before);
	if (a->shared_before)
		assert_memory_equal(a->shared_before, b->shared_before, EXTENT_PAGES);
}

static void assert_states_equal(const struct state *a, const struct state *b)
{
	assert_string_equal(a->boot_id, b->boot_id);
	assert_string_equal(a->active_group, b->active_group);
	assert_int_equal(a->paused, b->paused);
	assert_int_equal(a->have_knobs, b->have_knobs);
	assert_memory_equal(&a->knobs, &b->knobs, sizeof(a->knobs));
	assert_int_equal(a->target_count, b->target_count);
	for (size_t t = 0; t < a->target_count; t++) {
		const struct state_target *left = &a->targets[t], *right = &b->targets[t];

		assert_true(process_id_equal(left->id, right->id));
		assert_int_equal(left->held, right->held);
		assert_int_equal(!left->held_policy, !right->held_policy);
		if (left->held_policy)
			assert_string_equal(left->held_policy, right->held_policy);
		assert_int_equal(left->extent_count, right->extent_count);
		for (size_t e = 0; e < left->extent_count; e++)
			assert_extents_equal(&left->extents[e], &right->extents[e]);
	}
}

/* ---- round trips ---- */

static void test_state_comes_back_as_it_was_saved(void **state)
{
	const struct temp_dir *dir = *state;
	struct sample sample;
	struct state loaded;

	sample_init(&sample);
	assert_int_equal(state_save(dir->path, &sample.state), 0);
	assert_int_equal(state_load(dir->path, BOOT, &loaded), 0);
	assert_states_equal(&loaded, &sample.state);
	state_done(&loaded);
	state_done(&loaded);
}

static void test_state_empty_one_comes_back_too(void **state)
{
	const struct temp_dir *dir = *state;
	const struct state empty = { .boot_id = BOOT };
	struct state loaded;

	assert_int_equal(state_save(dir->path, &empty), 0);
	assert_int_equal(state_load(dir->path, BOOT, &loaded), 0);
	assert_states_equal(&loaded, &empty);
	state_done(&loaded);
}

static void test_state_missing_file_is_an_empty_state(void **state)
{
	const struct temp_dir *dir = *state;
	struct state loaded;

	assert_int_equal(state_load(dir->path, BOOT, &loaded), 0);
	assert_string_equal(loaded.boot_id, BOOT);
	assert_false(loaded.paused || loaded.have_knobs);
	assert_int_equal(loaded.target_count, 0);
	state_done(&loaded);
}

static void test_state_file_is_for_root_only(void **state)
{
	const struct temp_dir *dir = *state;
	const struct state empty = { .boot_id = BOOT };
	struct stat status;

	assert_int_equal(state_save(dir->path, &empty), 0);
	assert_int_equal(stat(temp_dir_path(dir, "state.json"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_not_equal(access(temp_dir_path(dir, "state.json.new"), F_OK), 0);
}

static void test_state_of_an_earlier_boot_keeps_only_that_it_was_paused(void **state)
{
	const struct temp_dir *dir = *state;
	struct sample sample;
	struct state loaded;

	for (int paused = 0; paused < 2; paused++) {
		sample_init(&sample);
		sample.state.paused = paused;
		assert_int_equal(state_save(dir->path, &sample.state), 0);
		assert_int_equal(state_load(dir->path, OTHER_BOOT, &loaded), 0);
		assert_int_equal(loaded.paused, paused);
		assert_string_equal(loaded.boot_id, OTHER_BOOT);
		assert_string_equal(loaded.active_group, "");
		assert_false(loaded.have_knobs);
		assert_int_equal(loaded.target_count, 0);
		state_done(&loaded);
	}
}

/* ---- hostile files ---- */

#define HEAD                                                                                       \
	"{\"format\":1,\"boot_id\":\"" BOOT "\",\"paused\":false,\"active_group\":\"\","            \
	"\"ksm_knobs\":null,\"targets\":"
#define TARGET(extents)                                                                            \
	HEAD "[{\"pid\":7,\"start_ticks\":9,\"held\":false,\"held_policy\":null,\"extents\":"      \
	     extents "}]}"
#define EXTENT(start, end, advice, zeros, shared)                                                  \
	TARGET("[{\"start\":" start ",\"end\":" end ",\"advice\":" advice ",\"zero_before\":" zeros \
	       ",\"was_huge\":false,\"shared_before\":" shared "}]")

static void test_state_well_formed_texts_of_the_table_are_read(void **state)
{
	static const char *const cases[] = {
		HEAD "[]}",
		TARGET("[]"),
		EXTENT("4096", "8192", "0", "0", "null"),
		EXTENT("0", "2097152", "2", "512", "null"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct state loaded;

		assert_int_equal(state_parse(cases[i], strlen(cases[i]), BOOT, &loaded), 0);
		state_done(&loaded);
	}
}

static void test_state_hostile_text_is_refused_whole(void **state)
{
	static const char *const cases[] = {
		"", " ", "{}", "[]", "null", "0", "\"\"", "{", "not json",
		/* another format, of another time */
		"{\"format\":2,\"boot_id\":\"x\",\"paused\":false,\"active_group\":\"\","
		"\"ksm_knobs\":null,\"targets\":[]}",
		"{\"format\":4294967297,\"boot_id\":\"x\",\"paused\":false,\"active_group\":\"\","
		"\"ksm_knobs\":null,\"targets\":[]}",
		/* one key twice, one missing, one of another type */
		"{\"format\":1,\"format\":1,\"boot_id\":\"x\",\"paused\":false,"
		"\"active_group\":\"\",\"ksm_knobs\":null,\"targets\":[]}",
		"{\"format\":1,\"paused\":false,\"active_group\":\"\",\"ksm_knobs\":null,"
		"\"targets\":[]}",
		"{\"format\":1,\"boot_id\":7,\"paused\":false,\"active_group\":\"\","
		"\"ksm_knobs\":null,\"targets\":[]}",
		"{\"format\":1,\"boot_id\":\"x\",\"paused\":0,\"active_group\":\"\","
		"\"ksm_knobs\":null,\"targets\":[]}",
		/* texts that do not fit */
		"{\"format\":1,\"boot_id\":\"1234567890123456789012345678901234567\","
		"\"paused\":false,\"active_group\":\"\",\"ksm_knobs\":null,\"targets\":[]}",
		"{\"format\":1,\"boot_id\":\"x\",\"paused\":false,\"active_group\":\""
		"1234567890123456789012345678901234567890123456789012345678901234\","
		"\"ksm_knobs\":null,\"targets\":[]}",
		/* knobs */
		"{\"format\":1,\"boot_id\":\"x\",\"paused\":false,\"active_group\":\"\","
		"\"ksm_knobs\":{},\"targets\":[]}",
		"{\"format\":1,\"boot_id\":\"x\",\"paused\":false,\"active_group\":\"\","
		"\"ksm_knobs\":{\"run\":\"1\",\"pages_to_scan\":1,\"sleep_millisecs\":1,"
		"\"smart_scan\":1,\"use_zero_pages\":1,\"advisor_scan_time\":1},\"targets\":[]}",
		/* targets */
		HEAD "{}}", HEAD "[7]}", HEAD "[{}]}", HEAD "[]}}", HEAD "[]} x",
		HEAD "[{\"pid\":0,\"start_ticks\":9,\"held\":false,\"held_policy\":null,"
		     "\"extents\":[]}]}",
		HEAD "[{\"pid\":-7,\"start_ticks\":9,\"held\":false,\"held_policy\":null,"
		     "\"extents\":[]}]}",
		HEAD "[{\"pid\":4294967303,\"start_ticks\":9,\"held\":false,"
		     "\"held_policy\":null,\"extents\":[]}]}",
		HEAD "[{\"pid\":7.5,\"start_ticks\":9,\"held\":false,\"held_policy\":null,"
		     "\"extents\":[]}]}",
		HEAD "[{\"pid\":7,\"start_ticks\":-1,\"held\":false,\"held_policy\":null,"
		     "\"extents\":[]}]}",
		HEAD "[{\"pid\":7,\"start_ticks\":99999999999999999999,\"held\":false,"
		     "\"held_policy\":null,\"extents\":[]}]}",
		HEAD "[{\"pid\":7,\"start_ticks\":9,\"held\":false,\"extents\":[]}]}",
		TARGET("{}"), TARGET("[7]"), TARGET("[{}]"), TARGET("null"),
		/* extents */
		EXTENT("-4096", "4096", "0", "0", "null"),
		EXTENT("4096", "4096", "0", "0", "null"),
		EXTENT("8192", "4096", "0", "0", "null"),
		EXTENT("4097", "8192", "0", "0", "null"),
		EXTENT("4096", "8191", "0", "0", "null"),
		EXTENT("4096", "2105344", "0", "0", "null"),
		EXTENT("4096", "8192", "3", "0", "null"),
		EXTENT("4096", "8192", "-1", "0", "null"),
		EXTENT("4096", "8192", "4294967296", "0", "null"),
		EXTENT("4096", "8192", "0", "513", "null"),
		EXTENT("4096", "8192", "0", "-1", "null"),
		EXTENT("4096", "8192", "0", "4294967296", "null"),
		EXTENT("4096", "8192", "0", "0", "7"),
		EXTENT("4096", "8192", "0", "0", "\"\""),
		EXTENT("4096", "8192", "0", "0", "\"0101\""),
		EXTENT("\"4096\"", "8192", "0", "0", "null"),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct state loaded = { .target_count = 77 };

		if (state_parse(cases[i], strlen(cases[i]), BOOT, &loaded) != -EBADMSG)
			fail_msg("was read: %s", cases[i]);
		assert_int_equal(loaded.target_count, 77);
	}
}

static void test_state_map_counts_must_be_hexadecimal(void **state)
{
	static const char digits[] = "0123456789abcdef";
	char text[sizeof(EXTENT("4096", "8192", "0", "0", "")) + 2 * EXTENT_PAGES + 16];
	char *hex;
	struct state loaded;
	int length;

	(void)state;
	length = snprintf(text, sizeof(text), EXTENT("4096", "8192", "0", "0", "\"%0*d\""),
		(int)(2 * EXTENT_PAGES), 0);
	assert_in_range(length, 1, sizeof(text) - 1);
	hex = strstr(text, "\"00000000") + 1;
	for (const char *digit = digits; *digit; digit++) {
		hex[5] = *digit;
		assert_int_equal(state_parse(text, (size_t)length, BOOT, &loaded), 0);
		assert_int_equal(
			loaded.targets[0].extents[0].shared_before[2], (int)(digit - digits));
		state_done(&loaded);
	}
	for (const char *bad = "gxA -+."; *bad; bad++) {
		hex[5] = *bad;
		assert_int_equal(state_parse(text, (size_t)length, BOOT, &loaded), -EBADMSG);
	}
}

/* A record that was cut off anywhere is no record, and is still there afterwards. */
static void test_state_truncated_file_is_refused_and_left_alone(void **state)
{
	const struct temp_dir *dir = *state;
	_cleanup_free_ char *text = NULL;
	struct sample sample;
	size_t length;

	sample_init(&sample);
	assert_int_equal(state_save(dir->path, &sample.state), 0);
	text = temp_dir_read(dir, "state.json");
	length = strlen(text);
	for (size_t cut = 0; cut < length; cut += cut < 300 || cut + 300 > length ? 1 : 97) {
		_cleanup_free_ char *left = NULL;
		struct state loaded;

		(void)temp_dir_write_bytes(dir, "state.json", text, cut);
		assert_int_equal(state_load(dir->path, BOOT, &loaded), -EBADMSG);
		left = temp_dir_read(dir, "state.json");
		assert_int_equal(strlen(left), cut);
	}
}

static void test_state_text_with_a_nul_byte_is_refused(void **state)
{
	static const char text[] = HEAD "[]}\0garbage";
	struct state loaded;

	(void)state;
	assert_int_equal(state_parse(text, sizeof(text), BOOT, &loaded), -EBADMSG);
}

/* ---- a save that fails ---- */

static void assert_old_record_stands(const struct temp_dir *dir, const struct state *old)
{
	struct state loaded;

	assert_int_equal(state_load(dir->path, BOOT, &loaded), 0);
	assert_states_equal(&loaded, old);
	state_done(&loaded);
}

static void test_state_failing_write_leaves_the_old_record(void **state)
{
	const struct temp_dir *dir = *state;
	const struct state old = { .boot_id = BOOT, .paused = true, .active_group = "old" };
	struct rlimit before, few = { 0 };
	struct sample sample;
	void (*handler)(int);

	sample_init(&sample);
	assert_int_equal(state_save(dir->path, &old), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	few = (struct rlimit){ 100, before.rlim_max };
	handler = signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
	assert_int_equal(state_save(dir->path, &sample.state), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	(void)signal(SIGXFSZ, handler);
	assert_old_record_stands(dir, &old);
	/* And the leftover of the failed one is no obstacle. */
	assert_int_equal(state_save(dir->path, &sample.state), 0);
	assert_old_record_stands(dir, &sample.state);
}

static void test_state_directory_that_cannot_be_written_is_an_error(void **state)
{
	const struct temp_dir *dir = *state;
	const struct state old = { .boot_id = BOOT, .paused = true };
	const struct state new = { .boot_id = BOOT };

	assert_int_equal(state_save(dir->path, &old), 0);
	/* A directory in the place of the new file: refused to root as well. */
	assert_int_equal(mkdir(temp_dir_path(dir, "state.json.new"), 0700), 0);
	assert_int_equal(state_save(dir->path, &new), -EISDIR);
	assert_old_record_stands(dir, &old);
	assert_int_equal(state_save(temp_dir_path(dir, "missing"), &new), -ENOENT);
	assert_int_equal(state_save(temp_dir_path(dir, "state.json"), &new), -ENOTDIR);
	assert_old_record_stands(dir, &old);
}

static void test_state_file_that_cannot_be_read_is_not_an_empty_state(void **state)
{
	const struct temp_dir *dir = *state;
	struct state loaded;

	assert_int_equal(mkdir(temp_dir_path(dir, "state.json"), 0700), 0);
	assert_int_equal(state_load(dir->path, BOOT, &loaded), -EISDIR);
}

/* ---- finding ---- */

static void test_state_find_tells_a_process_from_its_pid(void **state)
{
	struct sample sample;

	(void)state;
	sample_init(&sample);
	assert_ptr_equal(state_find(&sample.state, (struct process_id){ 4711, 123456789012 }),
		&sample.targets[0]);
	assert_null(state_find(&sample.state, (struct process_id){ 4711, 123456789013 }));
	assert_null(state_find(&sample.state, (struct process_id){ 4712, 123456789012 }));
	assert_true(state_find_pid(&sample.state, 4711));
	assert_false(state_find_pid(&sample.state, 4712));
}

static void test_state_forget_takes_one_out(void **state)
{
	const struct temp_dir *dir = *state;
	const struct process_id first = { 4711, 123456789012 }, second = { 1, 0 };
	struct sample sample;
	struct state loaded;

	sample_init(&sample);
	assert_int_equal(state_save(dir->path, &sample.state), 0);
	assert_int_equal(state_load(dir->path, BOOT, &loaded), 0);
	state_forget(&loaded, (struct process_id){ 4711, 1 });
	assert_int_equal(loaded.target_count, 2);
	state_forget(&loaded, first);
	assert_int_equal(loaded.target_count, 1);
	assert_null(state_find(&loaded, first));
	assert_non_null(state_find(&loaded, second));
	state_forget(&loaded, second);
	state_forget(&loaded, second);
	assert_int_equal(loaded.target_count, 0);
	state_done(&loaded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		STATE_TEST(test_state_comes_back_as_it_was_saved),
		STATE_TEST(test_state_empty_one_comes_back_too),
		STATE_TEST(test_state_missing_file_is_an_empty_state),
		STATE_TEST(test_state_file_is_for_root_only),
		STATE_TEST(test_state_of_an_earlier_boot_keeps_only_that_it_was_paused),
		STATE_TEST(test_state_well_formed_texts_of_the_table_are_read),
		STATE_TEST(test_state_hostile_text_is_refused_whole),
		STATE_TEST(test_state_map_counts_must_be_hexadecimal),
		STATE_TEST(test_state_truncated_file_is_refused_and_left_alone),
		STATE_TEST(test_state_text_with_a_nul_byte_is_refused),
		STATE_TEST(test_state_failing_write_leaves_the_old_record),
		STATE_TEST(test_state_directory_that_cannot_be_written_is_an_error),
		STATE_TEST(test_state_file_that_cannot_be_read_is_not_an_empty_state),
		STATE_TEST(test_state_find_tells_a_process_from_its_pid),
		STATE_TEST(test_state_forget_takes_one_out),
	};

	return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
