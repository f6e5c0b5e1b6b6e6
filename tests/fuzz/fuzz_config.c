// SPDX-License-Identifier: GPL-2.0-or-later
/* pagefold.conf: whatever is in it, it is a configuration within its limits or an error with a
 * place. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/config.h"
#include "tests/fuzz/fuzz.h"

static void check_config(const struct config *config)
{
	fuzz_check(config->cpu_percent >= 1 && config->cpu_percent <= 1000);
	fuzz_check(config->stall_budget_ms >= 1 && config->stall_budget_ms <= 1000);
	fuzz_check(config->scan_interval_s >= 1 && config->scan_interval_s <= 86400);
	fuzz_check(config->settle_seconds <= 3600);
	fuzz_check(config->memory_max_bytes <= INT64_MAX);
	fuzz_check(memchr(config->active_group, '\0', sizeof(config->active_group)) != NULL);
	fuzz_check(strcmp(config->active_group, "auto") != 0);
	fuzz_check(config->policy_dir[0] == '/');
	fuzz_check(policy_mode_name(config->default_mode) != NULL);
	fuzz_check(policy_hook_name(config->hook) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	struct config config;
	char *error = NULL;
	char path[32];

	if (fd < 0)
		fd = memfd_create("config", MFD_CLOEXEC);
	fuzz_check(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (config_load(path, true, &config, &error) == 0) {
		fuzz_check(error == NULL);
		check_config(&config);
		config_done(&config);
	} else {
		fuzz_check(error && strncmp(error, path, strlen(path)) == 0);
		free(error);
	}
	return 0;
}
