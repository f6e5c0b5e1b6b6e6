// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>

#include "common/cleanup.h"
#include "daemon/config.h"
#include "tests/unit/temp_dir.h"

static void assert_same(const struct config *a, const struct config *b)
{
	assert_int_equal(a->default_mode, b->default_mode);
	assert_int_equal(a->cpu_percent, b->cpu_percent);
	assert_int_equal(a->stall_budget_ms, b->stall_budget_ms);
	assert_int_equal(a->memory_max_bytes, b->memory_max_bytes);
	assert_int_equal(a->scan_interval_s, b->scan_interval_s);
	assert_int_equal(a->settle_seconds, b->settle_seconds);
	assert_int_equal(a->hook, b->hook);
	assert_string_equal(a->active_group, b->active_group);
	assert_int_equal(a->take_over, b->take_over);
	assert_int_equal(a->ksm_owner, b->ksm_owner);
	assert_string_equal(a->policy_dir, b->policy_dir);
	assert_true(listen_address_same(&a->metrics_listen, &b->metrics_listen));
}

/* As DESIGN.md and pagefold.conf(5) have them. */
static const struct config defaults = {
	.default_mode = MODE_OBSERVE,
	.cpu_percent = 10,
	.stall_budget_ms = 5,
	.memory_max_bytes = 0,
	.scan_interval_s = 30,
	.settle_seconds = 10,
	.hook = HOOK_AUTO,
	.active_group = "",
	.take_over = false,
	.ksm_owner = KSM_OWNER_AUTO,
	.policy_dir = "/etc/pagefold/policy.d",
};

static void load(const char *path, struct config *ret)
{
	_cleanup_free_ char *error = NULL;

	if (config_load(path, true, ret, &error) != 0)
		fail_msg("%s", error);
}

static void test_without_a_file_the_defaults_apply(void **state)
{
	struct config config;
	char *error = NULL;

	(void)state;
	assert_int_equal(config_load("/nonexistent/pagefold.conf", false, &config, &error), 0);
	assert_same(&config, &defaults);
	config_done(&config);
}

static void test_a_file_that_must_exist_and_does_not_is_an_error(void **state)
{
	struct config config;
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(config_load("/nonexistent/pagefold.conf", true, &config, &error), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/pagefold.conf: "));
}

static void test_every_key_is_read(void **state)
{
	static const char text[] = "[pagefold]\n"
				   "default-mode = merge\n"
				   "cpu-percent = 250\n"
				   "stall-budget-ms = 20\n"
				   "memory-max = 64M\n"
				   "scan-interval = 60\n"
				   "settle-seconds = 0\n"
				   "fold-when = pressure\n"
				   "hook = ring\n"
				   "active-group = web\n"
				   "take-over = yes\n"
				   "ksm-owner = stand-by\n"
				   "libvirt-uri =\n"
				   "policy-dir = /srv/policies\n"
				   "metrics-listen = 127.0.0.1:9743\n";
	static const struct config expected = {
		.default_mode = MODE_MERGE,
		.cpu_percent = 250,
		.stall_budget_ms = 20,
		.memory_max_bytes = UINT64_C(64) << 20,
		.scan_interval_s = 60,
		.settle_seconds = 0,
		.hook = HOOK_RING,
		.active_group = "web",
		.take_over = true,
		.ksm_owner = KSM_OWNER_STAND_BY,
		.policy_dir = "/srv/policies",
		.metrics_listen = {
			.socket.v4 = { .sin_family = AF_INET, .sin_port = 0x0f26, /* 9743 */
				.sin_addr.s_addr = 0x0100007f },
			.length = sizeof(struct sockaddr_in),
		},
	};
	const struct temp_dir dir = temp_dir_make();
	struct config config;

	(void)state;
	load(temp_dir_write(&dir, "pagefold.conf", text), &config);
	assert_same(&config, &expected);
	config_done(&config);
	temp_dir_remove(&dir);
}

static void test_sizes_take_suffixes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
		{ "0", 0 },
		{ "1048577", 1048577 },
		{ "3K", 3072 },
		{ "2M", UINT64_C(2) << 20 },
		{ "4G", UINT64_C(4) << 30 },
		{ "8589934591G", UINT64_C(8589934591) << 30 },
	};
	const struct temp_dir dir = temp_dir_make();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config config;
		char text[128];

		(void)snprintf(text, sizeof(text), "[pagefold]\nmemory-max = %s\n", cases[i].text);
		load(temp_dir_write(&dir, "pagefold.conf", text), &config);
		assert_int_equal(config.memory_max_bytes, cases[i].bytes);
		config_done(&config);
	}
	temp_dir_remove(&dir);
}

static void test_files_beside_it_override_in_their_order(void **state)
{
	const struct temp_dir dir = temp_dir_make();
	struct config config;

	(void)state;
	assert_int_equal(mkdir(temp_dir_path(&dir, "pagefold.conf.d"), 0755), 0);
	temp_dir_write(&dir, "pagefold.conf.d/20-b.conf", "[pagefold]\ncpu-percent = 20\n");
	temp_dir_write(&dir, "pagefold.conf.d/10-a.conf",
		"[pagefold]\ncpu-percent = 15\nhook = none\nactive-group = auto\n");
	load(temp_dir_write(&dir, "pagefold.conf",
		     "[pagefold]\ncpu-percent = 5\nhook = ring\nactive-group = x\n"
		     "scan-interval = 7\n"),
		&config);
	assert_int_equal(config.cpu_percent, 20);
	assert_int_equal(config.hook, HOOK_NONE);
	assert_string_equal(config.active_group, "");
	assert_int_equal(config.scan_interval_s, 7);
	config_done(&config);
	temp_dir_remove(&dir);
}

static void test_wrong_lines_are_refused_with_file_and_line(void **state)
{
	static const char *const lines[] = {
		"default-mode = Merge",
		"default-mode =",
		"cpu-percent = 0",
		"cpu-percent = 1001",
		"cpu-percent = 10%",
		"cpu-percent = -1",
		"cpu-percent = 0x10",
		"cpu-percent = 99999999999999999999999",
		"cpu-percent = 5 5",
		"stall-budget-ms = 0",
		"stall-budget-ms = 1001",
		"memory-max = 1T",
		"memory-max = M",
		"memory-max = 1MB",
		"memory-max = 1.5M",
		"memory-max = 8589934592G",
		"memory-max = 99999999999999999999",
		"memory-max = 00000000000000000000000000000000000000000001",
		"memory-max =",
		"scan-interval = 0",
		"scan-interval = 86401",
		"settle-seconds = 3601",
		"fold-when = never",
		"fold-when =",
		"hook = rings",
		"active-group = a b",
		"active-group =",
		"take-over = true",
		"take-over = YES",
		"ksm-owner = me",
		"policy-dir = policy.d",
		"policy-dir =",
		"metrics-listen = 127.0.0.1",
		"metrics-listen = 0.0.0.0:9743",
		"metrics-listen = yes",
		"Cpu-percent = 10",
		"cpu_percent = 10",
		"nonsense = 1",
		"[target x]",
		"[Pagefold]",
	};
	const struct temp_dir dir = temp_dir_make();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct config config = { .cpu_percent = 4711 };
		_cleanup_free_ char *error = NULL;
		char text[256], place[128];
		const char *path;

		(void)snprintf(text, sizeof(text), "[pagefold]\nscan-interval = 7\n%s\n", lines[i]);
		if (strncmp(lines[i], "scan-interval", 13) == 0)
			(void)snprintf(text, sizeof(text), "[pagefold]\n\n%s\n", lines[i]);
		path = temp_dir_write(&dir, "pagefold.conf", text);
		(void)snprintf(place, sizeof(place), "%s:3: ", path);
		if (config_load(path, true, &config, &error) != -EINVAL)
			fail_msg("\"%s\" was not refused", lines[i]);
		if (strncmp(error, place, strlen(place)) != 0 || strlen(error) < strlen(place) + 10)
			fail_msg("\"%s\": %s", lines[i], error);
		assert_int_equal(config.cpu_percent, 4711);
	}
	temp_dir_remove(&dir);
}

static void test_a_key_before_the_section_is_refused(void **state)
{
	const struct temp_dir dir = temp_dir_make();
	struct config config;
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(config_load(temp_dir_write(&dir, "pagefold.conf", "cpu-percent = 5\n"),
				 true, &config, &error),
		-EINVAL);
	assert_non_null(strstr(error, ":1: a key before [pagefold]"));
	temp_dir_remove(&dir);
}

static void test_an_error_in_a_file_beside_it_names_that_file(void **state)
{
	const struct temp_dir dir = temp_dir_make();
	struct config config;
	_cleanup_free_ char *error = NULL;

	(void)state;
	assert_int_equal(mkdir(temp_dir_path(&dir, "pagefold.conf.d"), 0755), 0);
	temp_dir_write(&dir, "pagefold.conf.d/x.conf", "[pagefold]\n\nhook = x\n");
	assert_int_equal(config_load(temp_dir_write(&dir, "pagefold.conf", "[pagefold]\n"), true,
				 &config, &error),
		-EINVAL);
	assert_non_null(strstr(error, "/pagefold.conf.d/x.conf:3: hook is \"x\""));
	temp_dir_remove(&dir);
}

/* The file that is shipped, with the mark of comment taken off each of its keys. */
static void uncomment_shipped(const struct temp_dir *dir, const char *name)
{
	FILE *from = fopen("daemon/pagefold.conf", "re");
	FILE *to = fopen(temp_dir_path(dir, name), "we");
	char line[256];

	assert_non_null(from);
	assert_non_null(to);
	while (fgets(line, sizeof(line), from)) {
		const bool key = line[0] == '#' && line[1] >= 'a' && line[1] <= 'z';

		assert_true(fputs(line + (key ? 1 : 0), to) >= 0);
	}
	(void)fclose(from);
	(void)fclose(to);
}

static void test_the_shipped_file_shows_the_defaults(void **state)
{
	const struct temp_dir dir = temp_dir_make();
	_cleanup_free_ char *text = NULL;
	struct config config;

	(void)state;
	load("daemon/pagefold.conf", &config);
	assert_same(&config, &defaults);
	config_done(&config);
	uncomment_shipped(&dir, "pagefold.conf");
	load(temp_dir_path(&dir, "pagefold.conf"), &config);
	assert_same(&config, &defaults);
	config_done(&config);
	text = temp_dir_read(&dir, "pagefold.conf");
	assert_non_null(strstr(text, "\nmetrics-listen =\n"));
	temp_dir_remove(&dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_a_file_the_defaults_apply),
		cmocka_unit_test(test_a_file_that_must_exist_and_does_not_is_an_error),
		cmocka_unit_test(test_every_key_is_read),
		cmocka_unit_test(test_sizes_take_suffixes),
		cmocka_unit_test(test_files_beside_it_override_in_their_order),
		cmocka_unit_test(test_wrong_lines_are_refused_with_file_and_line),
		cmocka_unit_test(test_a_key_before_the_section_is_refused),
		cmocka_unit_test(test_an_error_in_a_file_beside_it_names_that_file),
		cmocka_unit_test(test_the_shipped_file_shows_the_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
