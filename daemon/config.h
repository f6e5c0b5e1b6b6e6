/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pagefold.conf: read, checked as a whole, and handed on as one value. A wrong key or value is an error
 * with file and line, and nothing of it takes effect.
 */
#ifndef PAGEFOLD_DAEMON_CONFIG_H
#define PAGEFOLD_DAEMON_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/listen_address.h"
#include "daemon/policy.h"

#define CONFIG_DEFAULT_PATH "/etc/pagefold/pagefold.conf"

enum fold_when { FOLD_ALWAYS, FOLD_PRESSURE };
enum ksm_owner { KSM_OWNER_AUTO, KSM_OWNER_PAGEFOLD, KSM_OWNER_STAND_BY };

struct config {
	enum policy_mode default_mode;
	unsigned cpu_percent;         /* 1..1000 (of one core) */
	unsigned stall_budget_ms;     /* 1..1000 */
	uint64_t memory_max_bytes;    /* 0: 1 % of the host's memory */
	unsigned scan_interval_s;     /* 1..86400 */
	unsigned settle_seconds;      /* 0..3600 */
	enum fold_when fold_when;
	enum policy_hook hook;
	char active_group[POLICY_GROUP_BYTES]; /* "" is auto */
	bool take_over;
	enum ksm_owner ksm_owner;
	char *policy_dir;
	struct listen_address metrics_listen; /* on loopback; length 0: none */
	char *libvirt_uri; /* one or more, separated by blanks or commas; "": none */
};

/*
 * Reads path (missing: only an error if must_exist) and every *.conf of path + ".d", in byte order of
 * their names, later ones overriding. On failure -EINVAL (or the errno of reading) and in *ret_error
 * one sentence, "FILE:LINE: ..." where there is a line, which the caller frees; *ret untouched.
 */
int config_load(const char *path, bool must_exist, struct config *ret, char **ret_error);
void config_done(struct config *config);

#endif
