// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "common/cleanup.h"
#include "tools/pagefold/cli.h"
#include "tools/pagefold/client.h"
#include "tools/pagefold/output.h"

enum cli_exit cmd_release(const struct cli *cli)
{
	const char *query = cli->force ? "/release?force=1" : "/release";
	_cleanup_free_ char *path = NULL;

	if (cli->all == (cli->argument_count == 1)) {
		fputs("Usage: pagefold release VM|--all [--force]\n", stderr);
		return CLI_USAGE;
	}
	if (cli->all) {
		if (asprintf(&path, "/v1%s", query) < 0)
			path = NULL;
	} else {
		path = client_vm_path(cli->arguments[0], query);
	}
	return client_command(cli, path, "Released.");
}
