// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/freezer.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "hypervisor-glue/attach/proc_file.h"

/* Whether one of the words of a comma-separated list is word. */
static bool list_has(const char *list, const char *word)
{
	const size_t length = strlen(word);

	for (const char *at = list; (at = strstr(at, word)); at += length) {
		if ((at == list || at[-1] == ',') && (!at[length] || at[length] == ','))
			return true;
	}
	return false;
}

/* Where the v2 hierarchy, or the v1 hierarchy with the freezer, is mounted. */
static bool hierarchy_mount(bool v2, char ret_path[PATH_MAX])
{
	_cleanup_fclose_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t space = 0;

	while (mounts && getline(&line, &space, mounts) > 0) {
		char path[PATH_MAX], type[32], options[512];
		const char *tail = strstr(line, " - ");

		if (!tail || sscanf(line, "%*s %*s %*s %*s %4095s", path) != 1 ||
			sscanf(tail, " - %31s %*s %511s", type, options) != 2)
			continue;
		if (v2 ? strcmp(type, "cgroup2") != 0
		       : strcmp(type, "cgroup") != 0 || !list_has(options, "freezer"))
			continue;
		(void)snprintf(ret_path, PATH_MAX, "%s", path);
		return true;
	}
	return false;
}

/* One line of /proc/PID/cgroup: "ID:CONTROLLERS:PATH". */
static bool hierarchy_frozen(char *line, char *ret_where, size_t bytes)
{
	char *controllers = strchr(line, ':');
	char *path = controllers ? strchr(controllers + 1, ':') : NULL;
	char mount[PATH_MAX], text[256];
	bool v2;

	if (!path)
		return false;
	*path++ = '\0';
	controllers++;
	path[strcspn(path, "\n")] = '\0';
	v2 = !*controllers;
	if ((!v2 && !list_has(controllers, "freezer")) || !hierarchy_mount(v2, mount))
		return false;
	(void)snprintf(
		ret_where, bytes, "%s%s/%s", mount, path, v2 ? "cgroup.events" : "freezer.state");
	if (proc_file_read(ret_where, text, sizeof(text)) < 0)
		return false;
	/* v1 says FREEZING until the last task has stopped. */
	return v2 ? strstr(text, "frozen 1") != NULL : strstr(text, "FR") != NULL;
}

bool freezer_holds(pid_t pid, char *ret_where, size_t bytes)
{
	_cleanup_fclose_ FILE *file = NULL;
	_cleanup_free_ char *line = NULL;
	char path[64];
	size_t space = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	file = fopen(path, "re");
	while (file && getline(&line, &space, file) > 0) {
		if (hierarchy_frozen(line, ret_where, bytes))
			return true;
	}
	return false;
}
