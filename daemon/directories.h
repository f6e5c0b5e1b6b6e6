/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's directories. What goes wrong is logged here, with the option that cures it. */
#ifndef PAGEFOLD_DAEMON_DIRECTORIES_H
#define PAGEFOLD_DAEMON_DIRECTORIES_H

#include <sys/types.h>

/* 0 also where it is there already; -errno. */
int directory_make(const char *path, mode_t mode);

/*
 * Two daemons with one record would each undo what the other one did. The lock is held as long as *ret_fd is
 * open, and the kernel lets go of it however this process ends. ret_fd: the caller's to close, also after
 * an error; -1: nothing to close.
 */
int state_dir_lock(const char *path, int *ret_fd);

#endif
