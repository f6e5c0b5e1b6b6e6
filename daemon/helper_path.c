// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/helper_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *helper_path_find(void)
{
	char self[4096];
	const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash, *path;

	if (length > 0) {
		self[length] = '\0';
		slash = strrchr(self, '/');
		if (slash && asprintf(&path, "%.*s/pagefold-attach", (int)(slash - self), self) >= 0) {
			if (access(path, X_OK) == 0)
				return path;
			free(path);
		}
	}
	return strdup(PAGEFOLD_LIBEXECDIR "/pagefold-attach");
}
