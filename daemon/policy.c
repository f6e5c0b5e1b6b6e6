// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/policy.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"

#define REASON_BYTES 256

/* Patterns take a backslash as itself: systemd's cgroup names are full of them
 * (machine-qemu\x2d1.scope). */
#define GLOB_NAME FNM_NOESCAPE
#define GLOB_PATH (FNM_NOESCAPE | FNM_PATHNAME)

static const char *const mode_names[] = {
	[MODE_MERGE] = "merge",
	[MODE_OBSERVE] = "observe",
	[MODE_OFF] = "off",
};

static const char *const hook_names[] = {
	[HOOK_AUTO] = "auto",
	[HOOK_RING] = "ring",
	[HOOK_QMP] = "qmp",
	[HOOK_NONE] = "none",
};

static const char *const hugepages_names[] = {
	[HUGEPAGES_KEEP] = "keep",
	[HUGEPAGES_BALANCE] = "balance",
	[HUGEPAGES_FOLD] = "fold",
};

const char *policy_mode_name(enum policy_mode mode)
{
	return mode_names[mode];
}

const char *policy_hook_name(enum policy_hook hook)
{
	return hook_names[hook];
}

const char *policy_hugepages_name(enum policy_hugepages hugepages)
{
	return hugepages_names[hugepages];
}

void policy_init(struct policy *policy, enum policy_mode default_mode)
{
	*policy = (struct policy){
		.mode = default_mode,
		.group = "default",
		.hook = HOOK_AUTO,
		.hugepages = HUGEPAGES_BALANCE,
	};
}

/* The index of value among names, or -EINVAL with a reason that lists them. */
static int choose(const char *key, const char *const names[], size_t count, const char *value,
	char reason[REASON_BYTES])
{
	size_t length;

	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], value) == 0)
			return (int)i;
	(void)snprintf(reason, REASON_BYTES, "%s is \"%.40s\", but takes one of:", key, value);
	for (size_t i = 0; i < count; i++) {
		length = strlen(reason);
		(void)snprintf(
			reason + length, REASON_BYTES - length, "%s %s", i ? "," : "", names[i]);
	}
	return -EINVAL;
}

static int set_group(struct policy *policy, const char *value, char reason[REASON_BYTES])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	const size_t length = strlen(value);

	if (length == 0 || length >= POLICY_GROUP_BYTES || strspn(value, allowed) != length ||
		strcmp(value, "auto") == 0) {
		(void)snprintf(reason, REASON_BYTES,
			"group is \"%.70s\", but takes 1 to %d letters, digits, '.', '_' and '-', "
			"and not the word auto",
			value, POLICY_GROUP_BYTES - 1);
		return -EINVAL;
	}
	/* To its end: policies are compared as a whole. */
	memset(policy->group, 0, sizeof(policy->group));
	memcpy(policy->group, value, length);
	return 0;
}

static int set_hook(struct policy *policy, const char *value, char reason[REASON_BYTES])
{
	const int r = choose("hook", hook_names, ARRAY_SIZE(hook_names), value, reason);
	if (r < 0)
		return r;
	policy->hook = (enum policy_hook)r;
	return 0;
}

int policy_set_key(struct policy *policy, const char *key, const char *value, char reason[256])
{
	int r;

	if (strcmp(key, "group") == 0)
		return set_group(policy, value, reason);
	if (strcmp(key, "hook") == 0)
		return set_hook(policy, value, reason);
	if (strcmp(key, "mode") == 0) {
		r = choose(key, mode_names, ARRAY_SIZE(mode_names), value, reason);
		if (r >= 0)
			policy->mode = (enum policy_mode)r;
		return r < 0 ? r : 0;
	}
	if (strcmp(key, "hugepages") == 0) {
		r = choose(key, hugepages_names, ARRAY_SIZE(hugepages_names), value, reason);
		if (r >= 0)
			policy->hugepages = (enum policy_hugepages)r;
		return r < 0 ? r : 0;
	}
	(void)snprintf(reason, REASON_BYTES,
		"a policy has no key \"%.40s\", only mode, group, hook and hugepages", key);
	return -EINVAL;
}

/* A program that was replaced by an upgrade while it ran is still the program that was meant. */
static bool matches_exe(const char *pattern, const char *exe)
{
	static const char deleted[] = " (deleted)";
	_cleanup_free_ char *replaced = NULL;
	size_t length;

	if (!exe || !*exe)
		return false;
	if (fnmatch(pattern, exe, GLOB_PATH) == 0)
		return true;
	length = strlen(exe);
	if (length < sizeof(deleted) || strcmp(exe + length - (sizeof(deleted) - 1), deleted) != 0)
		return false;
	replaced = strndup(exe, length - (sizeof(deleted) - 1));
	return replaced && fnmatch(pattern, replaced, GLOB_PATH) == 0;
}

/* Each line is "ID:CONTROLLERS:PATH", v1 and v2 alike; a process in a child of the cgroup is in it
 * too. */
static bool matches_cgroup(const char *pattern, const char *cgroups)
{
	const char *line = cgroups;

	while (line && *line) {
		const char *end = strchrnul(line, '\n');
		_cleanup_free_ char *text = strndup(line, (size_t)(end - line));
		const char *path = text ? strchr(text, ':') : NULL;

		path = path ? strchr(path + 1, ':') : NULL;
		if (path && fnmatch(pattern, path + 1, GLOB_PATH | FNM_LEADING_DIR) == 0)
			return true;
		line = *end ? end + 1 : end;
	}
	return false;
}

static bool matches_vm(const char *pattern, const struct policy_subject *subject)
{
	if (!subject->is_vm)
		return false;
	if (subject->name && *subject->name && fnmatch(pattern, subject->name, GLOB_NAME) == 0)
		return true;
	return subject->uuid && *subject->uuid &&
	       fnmatch(pattern, subject->uuid, GLOB_NAME | FNM_CASEFOLD) == 0;
}

static bool rule_matches(const struct policy_rule *rule, const struct policy_subject *subject)
{
	switch (rule->kind) {
	case MATCH_VM:
		return matches_vm(rule->pattern, subject);
	case MATCH_EXE:
		return matches_exe(rule->pattern, subject->exe);
	case MATCH_CGROUP:
		return matches_cgroup(rule->pattern, subject->cgroups);
	case MATCH_PID:
		return rule->pid == subject->pid && !rule->expired;
	}
	return false;
}

const struct policy_rule *policy_set_find(
	const struct policy_set *set, const struct policy_subject *subject)
{
	for (size_t i = 0; i < set->count; i++)
		if (rule_matches(&set->rules[i], subject))
			return &set->rules[i];
	return NULL;
}

bool policy_set_wants_processes(const struct policy_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->rules[i].kind != MATCH_VM)
			return true;
	return false;
}

bool policy_set_wants_cgroups(const struct policy_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->rules[i].kind == MATCH_CGROUP)
			return true;
	return false;
}

void policy_set_done(struct policy_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		free(set->rules[i].section);
		free(set->rules[i].file);
		free(set->rules[i].pattern);
	}
	free(set->rules);
	*set = (struct policy_set){ 0 };
}
