/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small text files of the real /proc and /sys. The helper takes no other root: it acts on the
 * processes of this host. */
#ifndef PAGEFOLD_ATTACH_PROC_FILE_H
#define PAGEFOLD_ATTACH_PROC_FILE_H

#include <stddef.h>

/* Up to bytes - 1 of the file, NUL-terminated, what is beyond is cut. 0 or -errno. */
int proc_file_read(const char *path, char *ret_text, size_t bytes);

/*
 * The rest of the line that starts with name ("State:"), leading blanks skipped, into ret (cut to
 * fit). -ENOENT: no such line.
 */
int proc_field(const char *text, const char *name, char *ret, size_t bytes);

/* The start time, field 22 of the text of /proc/PID/stat, whatever comm holds. 0 or -EINVAL. */
int proc_stat_start_ticks(const char *text, unsigned long long *ret_ticks);

#endif
