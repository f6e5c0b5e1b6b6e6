/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the attach helper is. */
#ifndef PAGEFOLD_DAEMON_HELPER_PATH_H
#define PAGEFOLD_DAEMON_HELPER_PATH_H

/* In a build tree it lies beside the daemon; installed, in libexec. The caller's to free; NULL: no memory. */
char *helper_path_find(void);

#endif
