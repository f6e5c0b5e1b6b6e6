// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/newcomers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/number.h"
#include "hypervisor-glue/process.h"
#include "hypervisor-glue/vmm.h"

void newcomers_done(struct newcomers *newcomers)
{
	free(newcomers->known);
	free(newcomers->fresh);
	*newcomers = (struct newcomers){ 0 };
}

/* "0.20 0.18 0.12 1/80 11206" (proc_loadavg(5)) */
int newcomers_parse_last_pid(const char *loadavg, uint64_t *ret)
{
	const char *blank = strrchr(loadavg, ' ');
	char digits[24];
	size_t length;

	if (!blank)
		return -EINVAL;
	length = strcspn(blank + 1, "\n");
	if (length >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, blank + 1, length);
	digits[length] = '\0';
	return number_parse_u64(digits, 10, ret) < 0 ? -EINVAL : 0;
}

static bool last_pid_moved(struct newcomers *newcomers, const struct host_root *root)
{
	_cleanup_free_ char *text = NULL;
	uint64_t last_pid;
	bool moved;

	if (host_root_read_proc(root, "loadavg", &text, NULL) < 0 ||
		newcomers_parse_last_pid(text, &last_pid) < 0)
		return false;
	moved = last_pid != newcomers->last_pid;
	newcomers->last_pid = last_pid;
	return moved;
}

static bool became_vm(const struct newcomers *newcomers, const struct host_root *root)
{
	for (size_t i = 0; i < newcomers->fresh_count; i++) {
		struct vmm vmm;
		bool is_vm;

		if (vmm_read(root, newcomers->fresh[i], &vmm, &is_vm) == 0 && is_vm)
			return true;
	}
	return false;
}

/* Both ascend. */
static size_t fresh_find(
	const struct newcomers *newcomers, const pid_t *pids, size_t count, pid_t *fresh)
{
	size_t known = 0, found = 0;

	for (size_t i = 0; i < count; i++) {
		while (known < newcomers->known_count && newcomers->known[known] < pids[i])
			known++;
		if (known == newcomers->known_count || newcomers->known[known] != pids[i])
			fresh[found++] = pids[i];
	}
	return found;
}

static void look(struct newcomers *newcomers, const struct host_root *root)
{
	pid_t *pids, *fresh;
	size_t count;

	if (process_list(root, &pids, &count) < 0)
		return;
	fresh = calloc(count + 1, sizeof(*fresh));
	if (!fresh) {
		free(pids);
		return;
	}
	free(newcomers->fresh);
	newcomers->fresh_count = newcomers->looked ? fresh_find(newcomers, pids, count, fresh) : 0;
	newcomers->fresh = fresh;
	free(newcomers->known);
	newcomers->known = pids;
	newcomers->known_count = count;
	newcomers->looked = true;
}

bool newcomers_came(struct newcomers *newcomers, const struct host_root *root)
{
	const bool moved = last_pid_moved(newcomers, root);
	bool came;

	if (!moved && !newcomers->fresh_count)
		return false;
	came = became_vm(newcomers, root);
	look(newcomers, root);
	return came;
}
