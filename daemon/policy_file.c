// SPDX-License-Identifier: GPL-2.0-or-later
/* Policy files into a policy_set. */
#include "daemon/policy.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/number.h"
#include "daemon/ini.h"
#include "daemon/policy_file.h"

static const struct {
	const char *prefix;
	enum policy_match_kind kind;
} match_kinds[] = {
	{ "vm:", MATCH_VM },
	{ "exe:", MATCH_EXE },
	{ "cgroup:", MATCH_CGROUP },
	{ "pid:", MATCH_PID },
};

static int parse_pid(const char *text, pid_t *ret, char reason[INI_REASON_BYTES])
{
	uint64_t pid;

	if (number_parse_u64(text, 10, &pid) < 0 || pid == 0 || pid > INT_MAX) {
		(void)snprintf(reason, INI_REASON_BYTES, "\"%.40s\" is no process id", text);
		return -EINVAL;
	}
	*ret = (pid_t)pid;
	return 0;
}

/* TICKS/BOOT-ID */
static int parse_start(const char *text, struct policy_rule *rule)
{
	const char *const slash = strchr(text, '/');
	const char *const boot_id = slash ? slash + 1 : "";
	_cleanup_free_ char *ticks = strndup(text, slash ? (size_t)(slash - text) : 0);

	if (!ticks)
		return -ENOMEM;
	if (number_parse_u64(ticks, 10, &rule->started_ticks) < 0 ||
		strlen(boot_id) != POLICY_BOOT_BYTES - 1 ||
		strspn(boot_id, "0123456789abcdef-") != POLICY_BOOT_BYTES - 1)
		return -EINVAL;
	memcpy(rule->boot_id, boot_id, POLICY_BOOT_BYTES);
	return 0;
}

static int set_process(struct policy_rule *rule, const char *text, char reason[INI_REASON_BYTES])
{
	const char *const at = strchrnul(text, '@');
	_cleanup_free_ char *pid = strndup(text, (size_t)(at - text));
	int error;

	if (!pid)
		return -ENOMEM;
	error = parse_pid(pid, &rule->pid, reason);
	if (error || !*at)
		return error;
	error = parse_start(at + 1, rule);
	if (error == -EINVAL)
		(void)snprintf(reason, INI_REASON_BYTES,
			"\"%.80s\" is no start of a process, which is "
			"TICKS/BOOT-ID: field 22 of /proc/PID/stat, and "
			"/proc/sys/kernel/random/boot_id", at + 1);
	return error;
}

static int set_match(struct policy_rule *rule, const char *value, char reason[INI_REASON_BYTES])
{
	const char *pattern = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(match_kinds) && !pattern; i++)
		if (strncmp(value, match_kinds[i].prefix, strlen(match_kinds[i].prefix)) == 0) {
			rule->kind = match_kinds[i].kind;
			pattern = value + strlen(match_kinds[i].prefix);
		}
	if (!pattern || !*pattern) {
		(void)snprintf(reason, INI_REASON_BYTES,
			"match is \"%.40s\", but takes vm:NAME, exe:PATH, cgroup:PATH or "
			"pid:NUMBER",
			value);
		return -EINVAL;
	}
	if (rule->kind == MATCH_PID) {
		const int error = set_process(rule, pattern, reason);

		if (error)
			return error;
	}
	if ((rule->kind == MATCH_EXE || rule->kind == MATCH_CGROUP) && !strchr("/*?[", *pattern)) {
		(void)snprintf(reason, INI_REASON_BYTES,
			"match is \"%.100s\", but the path must begin with a slash", value);
		return -EINVAL;
	}
	rule->pattern = strdup(pattern);
	return rule->pattern ? 0 : -ENOMEM;
}

static int begin_rule(
	struct policy_set *set, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	static const char prefix[] = "target ";
	struct policy_rule *rules, *rule;
	struct stat written;

	if (strncmp(item->section, prefix, sizeof(prefix) - 1) != 0 ||
		!item->section[sizeof(prefix) - 1]) {
		(void)snprintf(reason, INI_REASON_BYTES,
			"the section is [%s], but policy files have [target NAME] only",
			item->section);
		return -EINVAL;
	}
	rules = reallocarray(set->rules, set->count + 1, sizeof(*rules));
	if (!rules)
		return -ENOMEM;
	set->rules = rules;
	rule = &rules[set->count++];
	*rule = (struct policy_rule){ .line = item->line };
	if (stat(item->file, &written) == 0)
		rule->written_s = written.st_mtime;
	policy_init(&rule->policy, MODE_OBSERVE);
	rule->section = strdup(item->section + sizeof(prefix) - 1);
	rule->file = strdup(item->file);
	return rule->section && rule->file ? 0 : -ENOMEM;
}

static int on_item(void *data, const struct ini_item *item, char reason[INI_REASON_BYTES])
{
	struct policy_set *set = data;
	struct policy_rule *rule;
	int r;

	if (!item->key)
		return begin_rule(set, item, reason);
	if (!*item->section) {
		(void)snprintf(reason, INI_REASON_BYTES, "a key before the first [target NAME]");
		return -EINVAL;
	}
	rule = &set->rules[set->count - 1];
	if (strcmp(item->key, "match") == 0)
		return set_match(rule, item->value, reason);
	r = policy_set_key(&rule->policy, item->key, item->value, reason);
	if (r == 0 && strcmp(item->key, "mode") == 0)
		rule->mode_given = true;
	return r == -EOPNOTSUPP ? -EINVAL : r;
}

/* What can be said only once a section is whole. */
static int check_set(const struct policy_set *set, char **ret_error)
{
	for (size_t i = 0; i < set->count; i++)
		if (!set->rules[i].pattern)
			return ini_error(ret_error, -EINVAL, set->rules[i].file, set->rules[i].line,
				"the section has no match = line, so it would never apply");
	return 0;
}

static int finish(struct policy_set *set, int r, struct policy_set *ret, char **ret_error)
{
	if (r == 0)
		r = check_set(set, ret_error);
	if (r < 0)
		policy_set_done(set);
	else
		*ret = *set;
	return r;
}

int policy_set_load(const char *dir, struct policy_set *ret, char **ret_error)
{
	struct policy_set set = { 0 };
	const int r = ini_read_dir(dir, on_item, &set, ret_error);

	return finish(&set, r, ret, ret_error);
}

int policy_set_parse(
	const char *text, size_t length, const char *file, struct policy_set *ret, char **ret_error)
{
	struct policy_set set = { 0 };
	_cleanup_fclose_ FILE *stream = NULL;
	int r = 0;

	/* fmemopen() of nothing is an error in some libraries and an empty file in others. */
	if (length > 0) {
		stream = fmemopen((void *)(uintptr_t)text, length, "r");
		r = stream ? ini_read_stream(stream, file, on_item, &set, ret_error)
			   : ini_error(ret_error, -errno, file, 0, "out of memory");
	}
	return finish(&set, r, ret, ret_error);
}

const char *policy_match_prefix(enum policy_match_kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(match_kinds); i++)
		if (match_kinds[i].kind == kind)
			return match_kinds[i].prefix;
	return "";
}
