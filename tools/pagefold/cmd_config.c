// SPDX-License-Identifier: GPL-2.0-or-later
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "daemon/config.h"
#include "daemon/policy.h"
#include "tools/pagefold/cli.h"
#include "tools/pagefold/output.h"

/* As the daemon would load them. */
static int load(
	const char *path, bool must_exist, char **ret_dir, size_t *ret_rules, char **ret_error)
{
	struct policy_set set;
	struct config config;
	int r = config_load(path, must_exist, &config, ret_error);

	if (r < 0)
		return r;
	*ret_dir = steal_pointer(&config.policy_dir);
	config_done(&config);
	r = policy_set_load(*ret_dir, &set, ret_error);
	if (r < 0)
		return r;
	*ret_rules = set.count;
	policy_set_done(&set);
	return 0;
}

/* Paths are bytes; jansson wants UTF-8. */
static json_t *text_or_null(const char *text)
{
	json_t *json = text ? json_string(text) : NULL;

	return json ? json : json_null();
}

static void print_json(const char *path, const char *dir, size_t rules, const char *error)
{
	json_t *json = json_pack("{si so sb so so so}", "schema", 1, "file", text_or_null(path),
		"valid", error == NULL, "error", text_or_null(error), "policy_dir",
		text_or_null(dir), "policies",
		error ? json_null() : json_integer((json_int_t)rules));

	output_json(json);
	json_decref(json);
}

enum cli_exit cmd_config_check(const struct cli *cli)
{
	const bool given = cli->argument_count == 1;
	const char *path = given ? cli->arguments[0] : CONFIG_DEFAULT_PATH;
	_cleanup_free_ char *dir = NULL;
	_cleanup_free_ char *error = NULL;
	size_t rules = 0;
	const int r = load(path, given, &dir, &rules, &error);

	if (r < 0 && !error) {
		fputs("pagefold: out of memory\n", stderr);
		return CLI_FAILED;
	}
	if (cli->json) {
		print_json(path, dir, rules, r < 0 ? error : NULL);
	} else if (r < 0) {
		output_text(stderr, error);
		fputc('\n', stderr);
	} else {
		printf("%s %s; %zu policies in %s.\n", path,
			access(path, F_OK) == 0 ? "is fine" : "does not exist: the defaults apply",
			rules, dir);
	}
	return r < 0 ? CLI_FAILED : CLI_DONE;
}
