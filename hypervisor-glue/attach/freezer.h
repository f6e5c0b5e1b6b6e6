/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a cgroup (v1 freezer or v2) holds a process frozen: it looks asleep, and nothing injected
 * into it would run before it is thawed. */
#ifndef PAGEFOLD_ATTACH_FREEZER_H
#define PAGEFOLD_ATTACH_FREEZER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* ret_where: the file that says so. What cannot be read counts as not frozen. */
bool freezer_holds(pid_t pid, char *ret_where, size_t bytes);

#endif
