// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/cli.h"

#include <stdint.h>

#define OF_DAEMON (CLI_JSON | CLI_SOCKET)

const struct cli_command cli_commands[] = {
	{ "status", "", "What folding brings on this host and what it costs", OF_DAEMON, 0, 0,
		cmd_status },
	{ "vms", "", "Every VM and process that pagefold knows of", OF_DAEMON, 0, 0, cmd_vms },
	{ "show", "VM", "One VM, with its memory extent by extent", OF_DAEMON, 1, 1, cmd_show },
	{ "top", "", "The VMs and what changes, live", OF_DAEMON | CLI_INTERVAL | CLI_COUNT, 0, 0,
		cmd_top },
	{ "plan", "", "What pagefold would do next, and why", OF_DAEMON, 0, 0, cmd_plan },
	{ "matrix", "", "Who shares with whom, and how much", OF_DAEMON, 0, 0, cmd_matrix },
	{ "estimate", "[VM]...", "What folding would save; needs no daemon and merges nothing",
		CLI_JSON | CLI_PID, 0, SIZE_MAX, cmd_estimate },
	{ "set", "VM KEY=VALUE...", "Change the policy of a VM: mode, group, hook, hugepages",
		OF_DAEMON, 2, SIZE_MAX, cmd_set },
	{ "release", "VM|--all",
		"Give a VM its own pages back, and fold it no more until it is set",
		OF_DAEMON | CLI_ALL | CLI_FORCE, 0, 1, cmd_release },
	{ "pause", "", "Stop scanning and folding at once; what is folded stays", OF_DAEMON, 0, 0,
		cmd_pause },
	{ "resume", "", "Go on after a pause", OF_DAEMON, 0, 0, cmd_resume },
	{ "config check", "[FILE]", "Check the configuration and the policies it names", CLI_JSON,
		0, 1, cmd_config_check },
	{ 0 },
};
