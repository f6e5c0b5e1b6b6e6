/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where /proc and /sys are. Everything in hypervisor-glue/ reads the host through one of these, so
 * that a test can hand in a directory of its own.
 */
#ifndef PAGEFOLD_GLUE_HOST_ROOT_H
#define PAGEFOLD_GLUE_HOST_ROOT_H

#include <dirent.h>
#include <stddef.h>
#include <sys/types.h>

/* What a kernel may lack. Told to, the readers take it for such a one. */
enum host_lack {
	HOST_LACKS_SMAPS_KSM = 1 << 0,  /* KSM: in smaps, Linux 6.8 */
	HOST_LACKS_SMART_SCAN = 1 << 1, /* ksm/smart_scan, Linux 6.7 */
	HOST_LACKS_ZERO_PAGES = 1 << 2, /* ksm/ksm_zero_pages, Linux 6.6 */
};

struct host_root {
	unsigned int lacks; /* of enum host_lack, by somebody's will */
	int root_fd; /* "/": only for mount points that /proc/self/mountinfo names */
	int proc_fd;
	int sys_fd;
};

/* prefix is "" for the real host. 0 or -errno. */
int host_root_open(const char *prefix, struct host_root *ret);
void host_root_done(struct host_root *root);

/*
 * The whole of a small text file, NUL-terminated, in memory the caller frees; ret_length may be
 * NULL. path is relative to /proc or /sys. -errno of the open or read; -ESRCH where /proc says the
 * process is gone; -EFBIG beyond 64 MiB.
 */
int host_root_read_proc(
	const struct host_root *root, const char *path, char **ret_text, size_t *ret_length);
int host_root_read_sys(
	const struct host_root *root, const char *path, char **ret_text, size_t *ret_length);
/* The same for an absolute path, below the prefix. */
int host_root_read_absolute(
	const struct host_root *root, const char *path, char **ret_text, size_t *ret_length);
/* The same for /proc/PID/name. */
int host_root_read_process(const struct host_root *root, pid_t pid, const char *name,
	char **ret_text, size_t *ret_length);
/* A file of /proc/PID is missing with the process, or without it: turns -ENOENT into -ESRCH where
 * the process is gone; anything else is returned as it is. */
int host_root_process_error(const struct host_root *root, pid_t pid, int error);
/* Writes text to a file of /sys in one write(). 0 or -errno. */
int host_root_write_sys(const struct host_root *root, const char *path, const char *text);

/* Opens /proc/PID/NAME, a directory, for readdir(); the caller closes it. 0, -ESRCH, -errno. */
int host_root_process_directory(
	const struct host_root *root, pid_t pid, const char *name, DIR **ret);

#endif
