/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration and the policies that it names, loaded as one: either all of it is right, or none is taken. */
#ifndef PAGEFOLD_DAEMON_CONFIGURATION_H
#define PAGEFOLD_DAEMON_CONFIGURATION_H

#include "daemon/config.h"
#include "daemon/policy.h"

/*
 * config_path NULL: the default one, which may be missing. 0 or -errno; then *ret_sentence says what is wrong,
 * with file and line, and is the caller's to free (NULL: no memory for it).
 */
int configuration_load(const char *config_path, struct config *ret_config,
	struct policy_set *ret_policies, char **ret_sentence);

#endif
