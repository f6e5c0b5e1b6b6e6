/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A directory with a /proc and a /sys of a test's own. Every failure ends the test. */
#ifndef PAGEFOLD_TESTS_FAKE_ROOT_H
#define PAGEFOLD_TESTS_FAKE_ROOT_H

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/cleanup.h"
#include "hypervisor-glue/host_root.h"

struct fake_root {
	char path[64];
	struct host_root root;
};

static inline void fake_root_path(
	const struct fake_root *fake, const char *path, char ret[static 512])
{
	const int length = snprintf(ret, 512, "%s%s", fake->path, path);

	assert_in_range(length, 1, 511);
}

/* The directories on the way to path, e.g. "/proc/42/stat". */
static inline void fake_root_make_parents(const struct fake_root *fake, const char *path)
{
	char full[512];

	fake_root_path(fake, path, full);
	for (char *slash = full + strlen(fake->path) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		(void)mkdir(full, 0755);
		*slash = '/';
	}
}

static inline void fake_root_write_bytes(
	const struct fake_root *fake, const char *path, const void *bytes, size_t length)
{
	char full[512];
	int fd;

	fake_root_make_parents(fake, path);
	fake_root_path(fake, path, full);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	(void)close(fd);
}

static inline void fake_root_write(const struct fake_root *fake, const char *path, const char *text)
{
	fake_root_write_bytes(fake, path, text, strlen(text));
}

static inline void fake_root_link(
	const struct fake_root *fake, const char *path, const char *target)
{
	char full[512];

	fake_root_make_parents(fake, path);
	fake_root_path(fake, path, full);
	assert_int_equal(symlink(target, full), 0);
}

static inline void fake_root_assert_text(
	const struct fake_root *fake, const char *path, const char *expected)
{
	char full[512], text[256];
	ssize_t length;
	int fd;

	fake_root_path(fake, path, full);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	length = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	assert_true(length >= 0);
	text[length] = '\0';
	assert_string_equal(text, expected);
}

static inline void fake_root_init(struct fake_root *fake)
{
	(void)strcpy(fake->path, "/tmp/pagefold-test-XXXXXX");
	assert_non_null(mkdtemp(fake->path));
	fake_root_make_parents(fake, "/proc/");
	fake_root_make_parents(fake, "/sys/");
	assert_int_equal(host_root_open(fake->path, &fake->root), 0);
}

static inline int fake_root_remove_one(
	const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void)status;
	(void)type;
	(void)walk;
	return remove(path);
}

static inline void fake_root_done(struct fake_root *fake)
{
	host_root_done(&fake->root);
	(void)nftw(fake->path, fake_root_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
