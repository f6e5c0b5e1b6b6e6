// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands against the real API, which a forked process serves with a backend made up here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/cleanup.h"
#include "daemon/api.h"
#include "tests/unit/cli_run.h"

static pid_t server;

static void add_vm(struct snapshot_vm *vm, const char *name, const char *uuid, pid_t pid)
{
	snapshot_vm_init(vm);
	vm->is_vm = true;
	vm->name = strdup(name);
	vm->uuid = strdup(uuid);
	vm->pid = pid;
}

static struct snapshot *make_snapshot(void *data)
{
	struct snapshot *snapshot = snapshot_new();

	(void)data;
	snapshot->pass_number = 3;
	snapshot->memory_bytes = INT64_C(1536) << 20;
	snapshot->reclaimed_bytes = 5 << 19;
	snapshot->warnings = calloc(2, sizeof(*snapshot->warnings));
	snapshot->warnings[0] = strdup("Something \x1b[5mblinks.");
	snapshot->vms = calloc(4, sizeof(*snapshot->vms));
	snapshot->vm_count = 4;
	add_vm(&snapshot->vms[0], "web1", "6f1c7f5e-0000-4000-8000-000000000001", 101);
	snapshot->vms[0].reason = strdup("waits for its second visit");
	snapshot->vms[0].ram_bytes = 512 << 20;
	add_vm(&snapshot->vms[1], "twin", "6f1c7f5e-0000-4000-8000-000000000002", 102);
	snapshot->verdict.word = VERDICT_MARGINAL;
	snapshot->verdict.bytes_per_cpu_second = 7 << 20;
	snapshot->verdict_reason = strdup("little for much");
	snapshot->vms[0].verdict.word = VERDICT_WORTH_IT;
	snapshot->vms[0].verdict_reason = strdup("much for little");
	snapshot->vms[1].verdict.word = VERDICT_COSTS_MORE;
	snapshot->vms[1].verdict_reason = strdup("nothing for much");
	add_vm(&snapshot->vms[2], "twin", "6f1c7f5e-0000-4000-8000-000000000003", 103);
	add_vm(&snapshot->vms[3], "a/b \x1b]0;c\x07\xc2\x9b", "", 104);
	snapshot->vms[0].extents = calloc(1, sizeof(*snapshot->vms[0].extents));
	snapshot->vms[0].extent_count = 1;
	snapshot->vms[0].extents[0] =
		(struct snapshot_extent){ .start = 0x7f0000000000, .length = 2 << 20, .twins = 77 };
	return snapshot;
}

/* 25 pairs of two VMs, with a name that is longer than its column and one that is no text. */
static struct document *make_matrix(void)
{
	static const char vm[] = "{\"name\":\"a-virtual-machine-with-a-name\",\"pid\":4194304,"
				 "\"group\":\"web\",\"zero_bytes\":1099511627776,\"self_bytes\":0,"
				 "\"cross_bytes\":1099511627776,\"saveable_bytes\":null}";
	static const char pair[] = "{\"names\":[\"a-virtual-machine-with-a-name\",\"b\\u001b[5m\"],"
				   "\"pids\":[4194303,4194304],\"common_bytes\":1099511627776,"
				   "\"held_bytes\":[4096,4096],\"cross_bytes\":[524288,524288]}";
	size_t length = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &length);

	assert_non_null(stream);
	fprintf(stream, "{\"schema\":1,\"vms\":[%s],\"pairs\":[%s", vm, pair);
	for (int i = 1; i < 25; i++)
		fprintf(stream, ",%s", pair);
	fputs("],\"pairs_omitted\":3}", stream);
	assert_int_equal(fclose(stream), 0);
	return document_new(text, length);
}

/* Releasing pid 102 fails, as it does where memory is short. */
static int submit(void *data, const struct api_request *request, api_done_fn done, void *token)
{
	struct api_outcome outcome = { 0 };

	(void)data;
	if (request->command == API_RELEASE && request->pid == 102 && !request->force) {
		outcome.error = -ENOMEM;
		outcome.message = strdup("It needs 12 MiB, and 3 MiB are free.");
	} else if (request->command == API_MATRIX) {
		outcome.document = make_matrix();
	} else if (request->command == API_RELEASE && request->all) {
		outcome.message = strdup("Released 4 VMs.");
	}
	done(token, outcome);
	return 0;
}

static void set_policy(void *data, const struct snapshot_vm *vm, const struct policy *policy,
	api_done_fn done, void *token)
{
	const bool refused = policy->mode == MODE_OFF;

	(void)data;
	(void)vm;
	done(token, (struct api_outcome){ .error = refused ? -EROFS : 0,
			    .message = strdup(refused ? "No." : "Kept in /x/00-set.conf.") });
}

static void serve(int ready)
{
	static const struct api_backend backend = {
		.snapshot = make_snapshot,
		.submit = submit,
		.set_policy = set_policy,
	};
	struct api *api;
	sd_event *event;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sd_event_new(&event) < 0 ||
		api_start(event, temp_dir_path(&directory, "s"), &backend, &api) < 0)
		_exit(1);
	(void)write(ready, "x", 1);
	_exit(sd_event_loop(event) < 0 ? 1 : 0);
}

static int start_server(void **state)
{
	int fds[2];
	char byte;

	(void)state;
	directory = temp_dir_make();
	assert_int_equal(pipe(fds), 0);
	server = fork();
	assert_true(server >= 0);
	if (server == 0)
		serve(fds[1]);
	close_fd(fds[1]);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	close_fd(fds[0]);
	return setenv("PAGEFOLD_SOCKET", temp_dir_path(&directory, "s"), 1);
}

static int stop_server(void **state)
{
	(void)state;
	assert_int_equal(kill(server, SIGKILL), 0);
	assert_int_equal(waitpid(server, NULL, 0), server);
	temp_dir_remove(&directory);
	return 0;
}

static void require_root(void)
{
	if (geteuid() == 0)
		return;
	print_message("SKIP: changes are for root, and this is not root\n");
	skip();
}

static void assert_printable(const char *text)
{
	for (; *text; text++)
		assert_true((unsigned char)*text >= ' ' || *text == '\n');
	assert_null(strstr(text, "\xc2\x9b"));
}

static void test_status_shows_numbers_and_dashes(void **state)
{
	_cleanup_result_ struct result result = RUN("status");

	(void)state;
	assert_int_equal(result.code, CLI_DONE);
	assert_non_null(strstr(result.out, "1536.0 MiB, - MiB available"));
	assert_non_null(strstr(result.out, "2.5 MiB (zero pages -, twins within a VM -, across VMs -)"));
	assert_non_null(strstr(result.out, "web1: waits for its second visit"));
	assert_non_null(strstr(result.out, "Something ?[5mblinks."));
	assert_non_null(strstr(result.out, "Worth it?       marginal: little for much"));
	assert_non_null(strstr(result.out, "7.0 MiB for a second of CPU an hour, - MiB"));
	assert_non_null(strstr(result.out, "twin: costs more than it gives: nothing for much"));
	assert_null(strstr(result.out, "much for little"));
	assert_printable(result.out);
}

static void test_tables_are_aligned(void **state)
{
	_cleanup_result_ struct result result = RUN("vms");
	const char *heading, *row;

	(void)state;
	assert_int_equal(result.code, CLI_DONE);
	heading = strstr(result.out, "MODE");
	row = strstr(result.out, "observe");
	assert_non_null(heading);
	assert_non_null(row);
	assert_int_equal(heading - result.out,
		row - strstr(result.out, "web1")); /* web1 begins the second line */
	assert_printable(result.out);
}

static void test_matrix_fits_a_terminal(void **state)
{
	_cleanup_result_ struct result result = RUN("matrix");
	unsigned lines = 0;

	(void)state;
	assert_int_equal(result.code, CLI_DONE);
	assert_printable(result.out);
	assert_non_null(strstr(result.out, "a-virtual-machi+"));
	assert_non_null(strstr(result.out, "8 more pairs have something in common"));
	for (const char *line = result.out; *line; line += strcspn(line, "\n") + 1) {
		assert_true(strcspn(line, "\n") <= 80);
		lines++;
	}
	assert_int_equal(lines, 1 + 1 + 1 + 1 + 20 + 1);
}

static void test_show_lists_extents(void **state)
{
	_cleanup_result_ struct result result = RUN("show", "web1");

	(void)state;
	assert_int_equal(result.code, CLI_DONE);
	assert_non_null(strstr(result.out, "Worth it?     worth it\n"));
	assert_non_null(strstr(result.out, "much for little"));
	assert_non_null(strstr(result.out, "0x7f0000000000"));
	assert_non_null(strstr(result.out, "512.0 MiB"));
}

static void test_names_are_encoded(void **state)
{
	_cleanup_result_ struct result result = RUN("show", "a/b \x1b]0;c\x07\xc2\x9b");

	(void)state;
	assert_int_equal(result.code, CLI_DONE);
	assert_non_null(strstr(result.out, "a/b ?]0;c??"));
	assert_printable(result.out);
}

static void test_an_ambiguous_name_shows_the_candidates(void **state)
{
	_cleanup_result_ struct result result = RUN("show", "twin");

	(void)state;
	assert_int_equal(result.code, CLI_FAILED);
	assert_string_equal(result.out, "");
	assert_non_null(strstr(result.err, "pid:102"));
	assert_non_null(strstr(result.err, "6f1c7f5e-0000-4000-8000-000000000003"));
}

static void test_an_unknown_name_fails(void **state)
{
	static const char *const names[] = { "nobody", "..", ".", "", "web1/policy", "%", "a?b#c" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_result_ struct result result = RUN("show", names[i]);

		assert_int_equal(result.code, CLI_FAILED);
		assert_true(strlen(result.err) > 20);
	}
}

static void test_json_is_what_the_api_says(void **state)
{
	static const char *const lines[][3] = { { "status", NULL }, { "vms", NULL },
		{ "plan", NULL }, { "matrix", NULL }, { "show", "web1", NULL } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_result_ struct result result = RUN("--json", lines[i][0], lines[i][1]);
		json_t *json = json_loads(result.out, 0, NULL);

		assert_int_equal(result.code, CLI_DONE);
		assert_int_equal(json_integer_value(json_object_get(json, "schema")), 1);
		json_decref(json);
	}
}

static void test_set_says_what_the_policy_is_and_where_it_is_kept(void **state)
{
	_cleanup_result_ struct result result = { 0 };

	(void)state;
	require_root();
	result = RUN("set", "web1", "mode=merge", "group=web");
	assert_int_equal(result.code, CLI_DONE);
	assert_non_null(strstr(
		result.out, "web1 (pid 101): mode=merge group=web hook=auto hugepages=balance\n"));
	assert_non_null(strstr(result.out, "Kept in /x/00-set.conf."));
}

static void test_set_refuses_what_makes_no_sense(void **state)
{
	static const struct {
		const char *first, *second;
		enum cli_exit code;
	} cases[] = {
		{ "merge", NULL, CLI_USAGE },
		{ "=merge", NULL, CLI_USAGE },
		{ "mode=merge", "mode=off", CLI_USAGE },
		{ "group=\xff", NULL, CLI_USAGE },
		{ "mode=perhaps", NULL, CLI_FAILED },
		{ "mood=merge", NULL, CLI_FAILED },
		{ "mode=off", NULL, CLI_FAILED },
	};

	(void)state;
	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_result_ struct result result =
			RUN("set", "web1", cases[i].first, cases[i].second);

		assert_int_equal(result.code, cases[i].code);
		assert_true(strlen(result.err) > 10);
	}
}

static void test_commands_say_how_they_ended(void **state)
{
	static const struct {
		const char *words[4];
		enum cli_exit code;
		const char *text;
	} cases[] = {
		{ { "pause" }, CLI_DONE, "Paused" },
		{ { "resume" }, CLI_DONE, "Going on." },
		{ { "release", "web1" }, CLI_DONE, "Released." },
		{ { "release", "--all" }, CLI_DONE, "Released 4 VMs." },
		{ { "release", "pid:102" }, CLI_FAILED, "It needs 12 MiB" },
		{ { "release", "pid:102", "--force" }, CLI_DONE, "Released." },
		{ { "release" }, CLI_USAGE, "Usage: " },
		{ { "release", "web1", "--all" }, CLI_USAGE, "Usage: " },
	};

	(void)state;
	require_root();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_result_ struct result result = run_words(cases[i].words);

		assert_int_equal(result.code, cases[i].code);
		assert_non_null(
			strstr(cases[i].code == CLI_DONE ? result.out : result.err, cases[i].text));
	}
}

static void test_a_daemon_that_is_not_there_is_exit_3(void **state)
{
	_cleanup_result_ struct result result =
		RUN("status", "--socket", temp_dir_path(&directory, "nothing"));

	(void)state;
	assert_int_equal(result.code, CLI_UNREACHABLE);
	assert_non_null(strstr(result.err, "Is pagefoldd running?"));
}

static void test_a_proxy_of_the_environment_is_not_asked(void **state)
{
	_cleanup_result_ struct result result = { 0 };

	(void)state;
	setenv("http_proxy", "http://127.0.0.1:9", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:9", 1);
	result = RUN("vms");
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	assert_int_equal(result.code, CLI_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status_shows_numbers_and_dashes),
		cmocka_unit_test(test_tables_are_aligned),
		cmocka_unit_test(test_matrix_fits_a_terminal),
		cmocka_unit_test(test_show_lists_extents),
		cmocka_unit_test(test_names_are_encoded),
		cmocka_unit_test(test_an_ambiguous_name_shows_the_candidates),
		cmocka_unit_test(test_an_unknown_name_fails),
		cmocka_unit_test(test_json_is_what_the_api_says),
		cmocka_unit_test(test_set_says_what_the_policy_is_and_where_it_is_kept),
		cmocka_unit_test(test_set_refuses_what_makes_no_sense),
		cmocka_unit_test(test_commands_say_how_they_ended),
		cmocka_unit_test(test_a_daemon_that_is_not_there_is_exit_3),
		cmocka_unit_test(test_a_proxy_of_the_environment_is_not_asked),
	};

	return cmocka_run_group_tests(tests, start_server, stop_server);
}
