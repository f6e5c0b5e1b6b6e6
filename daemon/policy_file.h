/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What reading and writing of policy files share. */
#ifndef PAGEFOLD_DAEMON_POLICY_FILE_H
#define PAGEFOLD_DAEMON_POLICY_FILE_H

#include "daemon/policy.h"

/* policy_set_load() of one file that is in memory. */
int policy_set_parse(const char *text, size_t length, const char *file, struct policy_set *ret,
	char **ret_error);
/* 00-set.conf of that directory as it is, in memory the caller frees; NULL: there is none. 0 or -errno. */
int policy_file_read(const char *dir, char **ret_text);
/* Puts that text in its place, as policy_file_set() does; NULL: removes it. 0 or -errno. */
int policy_file_write(const char *dir, const char *text);

const char *policy_match_prefix(enum policy_match_kind kind);

#endif
