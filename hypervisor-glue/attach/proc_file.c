// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/proc_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

int proc_file_read(const char *path, char *ret_text, size_t bytes)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;

	if (fd < 0)
		return -errno;
	while (length < bytes - 1) {
		const ssize_t got = read(fd, ret_text + length, bytes - 1 - length);

		if (got < 0)
			return -errno;
		if (!got)
			break;
		length += (size_t)got;
	}
	ret_text[length] = '\0';
	return 0;
}

int proc_field(const char *text, const char *name, char *ret, size_t bytes)
{
	const size_t name_length = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, name_length) != 0)
			continue;
		line += name_length;
		line += strspn(line, " \t");
		(void)snprintf(ret, bytes, "%.*s", (int)strcspn(line, "\n"), line);
		return 0;
	}
	return -ENOENT;
}

int proc_stat_start_ticks(const char *text, unsigned long long *ret_ticks)
{
	/* comm may hold anything, closing parentheses too, but nothing after it does. */
	const char *after_comm = strrchr(text, ')');

	if (!after_comm ||
		sscanf(after_comm,
			") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
			"%*d %llu",
			ret_ticks) != 1)
		return -EINVAL;
	return 0;
}
