/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pagefoldd's command line. */
#ifndef PAGEFOLD_DAEMON_OPTIONS_H
#define PAGEFOLD_DAEMON_OPTIONS_H

#include <stdbool.h>

#include "daemon/features.h"

struct options {
	const char *config_path; /* NULL: CONFIG_DEFAULT_PATH, which may be missing */
	const char *runtime_dir, *state_dir;
	bool once;
	bool debug;
	bool disabled[FEATURE_COUNT];
};

enum options_verdict { OPTIONS_RUN, OPTIONS_EXIT_OK, OPTIONS_EXIT_USAGE };

/* Prints help, version or what is wrong by itself. Strings are borrowed from argv. */
enum options_verdict options_parse(int argc, char **argv, struct options *ret);

#endif
