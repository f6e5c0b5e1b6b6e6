// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tools/pagefold/cli.h"
#include "tools/pagefold/client.h"
#include "tools/pagefold/output.h"

/* "mode=merge" and so on as a JSON object; which keys and values there are, the daemon knows. */
static enum cli_exit keys_to_json(const struct cli *cli, json_t *object)
{
	for (size_t i = 1; i < cli->argument_count; i++) {
		const char *word = cli->arguments[i], *value = strchr(word, '=');
		_cleanup_free_ char *key = value ? strndup(word, (size_t)(value - word)) : NULL;

		if (!key || !*key) {
			fprintf(stderr, "pagefold: \"%s\" is not KEY=VALUE.\n", word);
			return CLI_USAGE;
		}
		if (json_object_get(object, key)) {
			fprintf(stderr, "pagefold: %s is given twice.\n", key);
			return CLI_USAGE;
		}
		if (json_object_set_new(object, key, json_string(value + 1)) < 0) {
			fprintf(stderr, "pagefold: \"%s\" is not UTF-8.\n", word);
			return CLI_USAGE;
		}
	}
	return CLI_DONE;
}

static void print_policy(const json_t *answer)
{
	static const char *const keys[] = { "mode", "group", "hook", "hugepages" };
	const char *message = json_string_value(json_object_get(answer, "message"));

	printf("%s (pid %lld):", output_string(json_object_get(answer, "name")).text,
		(long long)json_integer_value(json_object_get(answer, "pid")));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		printf(" %s=", keys[i]);
		output_text(stdout, json_string_value(json_object_get(answer, keys[i])));
	}
	putchar('\n');
	if (message) {
		output_text(stdout, message);
		putchar('\n');
	}
}

enum cli_exit cmd_set(const struct cli *cli)
{
	_cleanup_free_ char *path = client_vm_path(cli->arguments[0], "/policy");
	_cleanup_free_ char *body = NULL;
	json_t *object = json_object(), *answer;
	enum cli_exit r = object ? keys_to_json(cli, object) : CLI_FAILED;

	if (r == CLI_DONE)
		body = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	if (r != CLI_DONE)
		return r;
	r = client_request(cli, "PUT", body ? path : NULL, body, &answer);
	if (r != CLI_DONE)
		return r;
	if (cli->json)
		output_json(answer);
	else
		print_policy(answer);
	json_decref(answer);
	return CLI_DONE;
}
