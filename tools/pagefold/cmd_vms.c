// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/cli.h"
#include "tools/pagefold/client.h"
#include "tools/pagefold/output.h"
#include "tools/pagefold/vm_table.h"

enum cli_exit cmd_vms(const struct cli *cli)
{
	json_t *answer;
	const enum cli_exit r = client_request(cli, "GET", "/v1/vms", NULL, &answer);

	if (r != CLI_DONE)
		return r;
	if (cli->json)
		output_json(answer);
	else
		vm_table_print(json_object_get(answer, "vms"));
	json_decref(answer);
	return r;
}
