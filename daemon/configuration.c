// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/configuration.h"

int configuration_load(const char *config_path, struct config *ret_config,
	struct policy_set *ret_policies, char **ret_sentence)
{
	const char *path = config_path ? config_path : CONFIG_DEFAULT_PATH;
	struct config config;
	int error;

	*ret_sentence = NULL;
	error = config_load(path, config_path != NULL, &config, ret_sentence);
	if (error)
		return error;
	error = policy_set_load(config.policy_dir, ret_policies, ret_sentence);
	if (error)
		config_done(&config);
	else
		*ret_config = config;
	return error;
}
