/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scope-bound ownership: a variable declared with one of these attributes is released when it goes
 * out of scope. `steal_*` hands the ownership on.
 */
#ifndef PAGEFOLD_COMMON_CLEANUP_H
#define PAGEFOLD_COMMON_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))
#define _unused_ __attribute__((unused))
#define _printf_(string, first) __attribute__((__format__(__printf__, string, first)))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

static inline void cleanup_free(void *pointer_to_pointer)
{
	free(*(void **)pointer_to_pointer);
}

/* close() that keeps errno, so that it may stand between a failure and its report. */
static inline void close_fd(int fd)
{
	const int saved_errno = errno;

	if (fd >= 0)
		(void)close(fd);
	errno = saved_errno;
}

static inline void cleanup_close(int *fd)
{
	close_fd(*fd);
}

static inline void cleanup_fclose(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

static inline void cleanup_closedir(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)

static inline void *steal_pointer_(void *pointer_to_pointer)
{
	void *stolen = *(void **)pointer_to_pointer;

	*(void **)pointer_to_pointer = NULL;
	return stolen;
}
#define steal_pointer(pointer) ((__typeof__(*(pointer)))steal_pointer_(pointer))

static inline int steal_fd(int *fd)
{
	const int stolen = *fd;

	*fd = -1;
	return stolen;
}

#endif
