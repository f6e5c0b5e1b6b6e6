// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/host_root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"

/* smaps of a process with vm.max_map_count VMAs (65,530) stays below 50 MiB. */
#define TEXT_MAX_BYTES ((size_t)64 << 20)
/* Most files of /proc and /sys fit, and the first read of a large one is not too small. */
#define TEXT_FIRST_BYTES ((size_t)16 << 10)

static int open_directory(int at_fd, const char *path)
{
	const int fd = openat(at_fd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int host_root_open(const char *prefix, struct host_root *ret)
{
	_cleanup_close_ int root_fd = -1, proc_fd = -1, sys_fd = -1;

	root_fd = open_directory(AT_FDCWD, *prefix ? prefix : "/");
	if (root_fd < 0)
		return root_fd;
	proc_fd = open_directory(root_fd, "proc");
	if (proc_fd < 0)
		return proc_fd;
	sys_fd = open_directory(root_fd, "sys");
	if (sys_fd < 0)
		return sys_fd;
	*ret = (struct host_root){
		.root_fd = steal_fd(&root_fd),
		.proc_fd = steal_fd(&proc_fd),
		.sys_fd = steal_fd(&sys_fd),
	};
	return 0;
}

void host_root_done(struct host_root *root)
{
	close_fd(root->root_fd);
	close_fd(root->proc_fd);
	close_fd(root->sys_fd);
	*root = (struct host_root){ .root_fd = -1, .proc_fd = -1, .sys_fd = -1 };
}

/* Makes room for at least one more byte and the terminating NUL. */
static int text_grow(char **text, size_t *capacity)
{
	const size_t wanted = *capacity ? *capacity * 2 : TEXT_FIRST_BYTES;
	char *grown;

	if (wanted > TEXT_MAX_BYTES * 2)
		return -EFBIG;
	grown = realloc(*text, wanted);
	if (!grown)
		return -ENOMEM;
	*text = grown;
	*capacity = wanted;
	return 0;
}

static int read_all(int fd, char **ret_text, size_t *ret_length)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0, capacity = 0;

	for (;;) {
		ssize_t got;

		if (length + 1 >= capacity) {
			const int r = text_grow(&text, &capacity);

			if (r < 0)
				return r;
		}
		got = read(fd, text + length, capacity - length - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		length += (size_t)got;
		if (length > TEXT_MAX_BYTES)
			return -EFBIG;
	}
	text[length] = '\0';
	*ret_text = steal_pointer(&text);
	if (ret_length)
		*ret_length = length;
	return 0;
}

static int read_at(int at_fd, const char *path, char **ret_text, size_t *ret_length)
{
	_cleanup_close_ int fd = openat(at_fd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	return read_all(fd, ret_text, ret_length);
}

int host_root_read_proc(
	const struct host_root *root, const char *path, char **ret_text, size_t *ret_length)
{
	return read_at(root->proc_fd, path, ret_text, ret_length);
}

int host_root_read_sys(
	const struct host_root *root, const char *path, char **ret_text, size_t *ret_length)
{
	return read_at(root->sys_fd, path, ret_text, ret_length);
}

int host_root_read_absolute(
	const struct host_root *root, const char *path, char **ret_text, size_t *ret_length)
{
	path += strspn(path, "/");
	return read_at(root->root_fd, path, ret_text, ret_length);
}

int host_root_process_error(const struct host_root *root, pid_t pid, int error)
{
	char directory[16];
	struct stat status;

	if (error != -ENOENT)
		return error;
	(void)snprintf(directory, sizeof(directory), "%d", pid);
	if (fstatat(root->proc_fd, directory, &status, 0) < 0 && errno == ENOENT)
		return -ESRCH;
	return error;
}

int host_root_read_process(const struct host_root *root, pid_t pid, const char *name,
	char **ret_text, size_t *ret_length)
{
	char path[64];
	int r;

	r = snprintf(path, sizeof(path), "%d/%s", pid, name);
	if (r < 0 || (size_t)r >= sizeof(path))
		return -ENAMETOOLONG;
	r = read_at(root->proc_fd, path, ret_text, ret_length);
	return host_root_process_error(root, pid, r);
}

int host_root_write_sys(const struct host_root *root, const char *path, const char *text)
{
	/* sysfs ignores O_TRUNC; a test's plain file needs it. */
	_cleanup_close_ int fd = openat(root->sys_fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	const size_t length = strlen(text);
	ssize_t written;

	if (fd < 0)
		return -errno;
	do
		written = write(fd, text, length);
	while (written < 0 && errno == EINTR);
	if (written < 0)
		return -errno;
	return (size_t)written == length ? 0 : -EIO;
}

int host_root_process_directory(
	const struct host_root *root, pid_t pid, const char *name, DIR **ret)
{
	_cleanup_close_ int fd = -1;
	DIR *directory;
	char path[64];

	(void)snprintf(path, sizeof(path), "%d/%s", (int)pid, name);
	fd = openat(root->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return host_root_process_error(root, pid, -errno);
	directory = fdopendir(fd);
	if (!directory)
		return -errno;
	(void)steal_fd(&fd);
	*ret = directory;
	return 0;
}
