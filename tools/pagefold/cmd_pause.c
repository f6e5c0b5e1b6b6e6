// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/cli.h"
#include "tools/pagefold/client.h"

enum cli_exit cmd_pause(const struct cli *cli)
{
	return client_command(cli, "/v1/pause", "Paused: what is folded stays folded.");
}

enum cli_exit cmd_resume(const struct cli *cli)
{
	return client_command(cli, "/v1/resume", "Going on.");
}
