/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A directory of files for one test, and nothing left of it. */
#ifndef PAGEFOLD_TESTS_TEMP_DIR_H
#define PAGEFOLD_TESTS_TEMP_DIR_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct temp_dir {
	char path[96];
};

static inline struct temp_dir temp_dir_make(void)
{
	struct temp_dir dir = { "/tmp/pagefold-test-XXXXXX" };

	assert_non_null(mkdtemp(dir.path));
	return dir;
}

static inline int temp_dir_remove_one(
	const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

static inline void temp_dir_remove(const struct temp_dir *dir)
{
	assert_int_equal(nftw(dir->path, temp_dir_remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

/* The path of a file in it, until the next call but three. */
static inline const char *temp_dir_path(const struct temp_dir *dir, const char *name)
{
	static char paths[4][256];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", dir->path, name);
	return path;
}

static inline const char *temp_dir_write_bytes(
	const struct temp_dir *dir, const char *name, const char *bytes, size_t length)
{
	const char *path = temp_dir_path(dir, name);
	const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), (ssize_t)length);
	assert_int_equal(close(fd), 0);
	return path;
}

static inline const char *temp_dir_write(
	const struct temp_dir *dir, const char *name, const char *text)
{
	return temp_dir_write_bytes(dir, name, text, strlen(text));
}

/* The text of a file, freed by the caller. */
static inline char *temp_dir_read(const struct temp_dir *dir, const char *name)
{
	FILE *file = fopen(temp_dir_path(dir, name), "re");
	char *text = calloc(1, 65536);

	assert_non_null(file);
	assert_non_null(text);
	(void)fread(text, 1, 65535, file);
	(void)fclose(file);
	return text;
}

#endif
