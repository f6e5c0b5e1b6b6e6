/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may be done with a VM or process, and who says so: files in policy.d, first match wins.
 */
#ifndef PAGEFOLD_DAEMON_POLICY_H
#define PAGEFOLD_DAEMON_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define POLICY_GROUP_BYTES 64
#define POLICY_BOOT_BYTES  37 /* a boot id with its NUL */

enum policy_mode { MODE_MERGE, MODE_OBSERVE, MODE_OFF };
enum policy_hook { HOOK_AUTO, HOOK_RING, HOOK_QMP, HOOK_NONE };
enum policy_hugepages { HUGEPAGES_KEEP, HUGEPAGES_BALANCE, HUGEPAGES_FOLD };

struct policy {
	enum policy_mode mode;
	char group[POLICY_GROUP_BYTES]; /* letters, digits, '.', '_', '-'; never empty, never "auto" */
	enum policy_hook hook;
	enum policy_hugepages hugepages;
};

const char *policy_mode_name(enum policy_mode mode);
const char *policy_hook_name(enum policy_hook hook);
const char *policy_hugepages_name(enum policy_hugepages hugepages);

/*
 * Sets one key from text: "mode", "group", "hook", "hugepages". -EINVAL for a wrong key or value, and then in
 * reason (256 bytes) a sentence that lists what is allowed.
 */
int policy_set_key(struct policy *policy, const char *key, const char *value, char reason[256]);
void policy_init(struct policy *policy, enum policy_mode default_mode);

/* What a target is matched by. Strings are borrowed and may be NULL or empty. */
struct policy_subject {
	bool is_vm;
	pid_t pid;
	uint64_t started_ticks; /* with the pid and the boot: one process and no other */
	const char *boot_id;
	const char *name, *uuid; /* VM only */
	const char *exe;
	const char *cgroups; /* text of /proc/PID/cgroup */
};

enum policy_match_kind { MATCH_VM, MATCH_EXE, MATCH_CGROUP, MATCH_PID };

struct policy_rule {
	char *section; /* the NAME of [target NAME] */
	char *file;
	unsigned line;
	enum policy_match_kind kind;
	char *pattern; /* glob; for MATCH_PID as it was written */
	pid_t pid;
	/* MATCH_PID: the process that started at this tick of that boot; boot_id "": not said, then */
	uint64_t started_ticks;
	char boot_id[POLICY_BOOT_BYTES];
	int64_t written_s; /* the one that had the pid when the file was written; 0: not known */
	bool expired;      /* MATCH_PID: its process has ended (pid_rules.h) */
	struct policy policy; /* keys that are not given: mode = default_mode at lookup, see mode_given */
	bool mode_given;
};

struct policy_set {
	struct policy_rule *rules;
	size_t count;
};

/* Reads every *.conf in dir, in byte order of the names (a missing dir is an empty set). Everything or
 * nothing, errors as config_load(). */
int policy_set_load(const char *dir, struct policy_set *ret, char **ret_error);
void policy_set_done(struct policy_set *set);

/* The first rule that matches, or NULL. MATCH_EXE, MATCH_CGROUP and MATCH_PID match VMs too. */
const struct policy_rule *policy_set_find(
	const struct policy_set *set, const struct policy_subject *subject);
/* Whether any rule could match a process that is no VM: otherwise there is no need to look at each. */
bool policy_set_wants_processes(const struct policy_set *set);
/* Whether any rule asks for the cgroups. */
bool policy_set_wants_cgroups(const struct policy_set *set);

/* The section and the match that name one VM or process in a policy file: a VM by its uuid, else by
 * its name, whatever else by its pid and its start. */
struct policy_target {
	char section[43];
	char match[192];
};
void policy_target_of(const struct policy_subject *subject, struct policy_target *ret);

/*
 * Writes (or replaces, or with policy NULL removes) the rule of [target NAME] in dir/00-set.conf, where
 * `pagefold set` keeps what it was told: match line as given ("vm:web1", "pid:4711@..."). Another section
 * with the same match goes, since it would win or never apply. Atomic: a temporary file, fsync, rename,
 * fsync of the directory; other sections and all comments stay as they are. A file with an error in it
 * is left alone (-EINVAL).
 */
int policy_file_set(const char *dir, const char *section, const char *match,
	const struct policy *policy, char **ret_error);

#endif
