// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/directories.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "daemon/log.h"

int directory_make(const char *path, mode_t mode)
{
	if (mkdir(path, mode) < 0 && errno != EEXIST) {
		const int error = -errno;

		log_error("directory %s cannot be made: %m; see --runtime-dir and --state-dir", path);
		return error;
	}
	return 0;
}

int state_dir_lock(const char *path, int *ret_fd)
{
	const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error;

	*ret_fd = fd;
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	error = -errno;
	if (error == -EWOULDBLOCK)
		log_error("another pagefoldd keeps its record in %s; give this one a --state-dir of "
			  "its own", path);
	else
		log_error("directory %s cannot be locked: %m", path);
	return error;
}
