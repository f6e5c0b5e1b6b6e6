// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * 00-set.conf, where `pagefold set` keeps what it was told. People edit the file too, so it is
 * changed as text, line by line, and what is not ours to change stays byte for byte. Reading the
 * result back before it is put in place is the proof that what was written means what was asked
 * for.
 */
#include "daemon/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "daemon/ini.h"
#include "daemon/policy_file.h"

#define SET_FILE "00-set.conf"
/* Thousands of rules; a larger file is something else. */
#define FILE_BYTES_MAX (1024 * 1024)

static const char new_file[] =
	"# Kept by `pagefold set`; may be edited by hand. See pagefold.conf(5).\n";

/* Text that grows; error sticks. */
struct text {
	char *bytes;
	size_t length;
	FILE *stream;
};

static int text_begin(struct text *text)
{
	*text = (struct text){ 0 };
	text->stream = open_memstream(&text->bytes, &text->length);
	return text->stream ? 0 : -ENOMEM;
}

static int text_end(struct text *text)
{
	const bool bad = ferror(text->stream);
	const int r = fclose(text->stream);

	text->stream = NULL;
	return bad || r != 0 ? -ENOMEM : 0;
}

static void text_done(struct text *text)
{
	if (text->stream)
		(void)fclose(text->stream);
	free(text->bytes);
}

static int read_whole(const char *path, struct text *ret)
{
	_cleanup_fclose_ FILE *from = fopen(path, "re");
	char block[4096];
	size_t got, total = 0;

	if (!from && errno == ENOENT) {
		fputs(new_file, ret->stream);
		return text_end(ret);
	}
	if (!from)
		return -errno;
	while ((got = fread(block, 1, sizeof(block), from)) > 0) {
		total += got;
		if (total > FILE_BYTES_MAX)
			return -EFBIG;
		(void)fwrite(block, 1, got, ret->stream);
	}
	return ferror(from) ? -EIO : text_end(ret);
}

static bool same_match(const struct policy_rule *rule, const char *match)
{
	const char *prefix = policy_match_prefix(rule->kind);

	return strncmp(match, prefix, strlen(prefix)) == 0 &&
	       strcmp(match + strlen(prefix), rule->pattern) == 0;
}

/* Or for another process that had the pid: by now it has ended. */
static bool same_pid(const struct policy_rule *rule, const char *match)
{
	const char *prefix = policy_match_prefix(MATCH_PID);

	return rule->kind == MATCH_PID && strncmp(match, prefix, strlen(prefix)) == 0 &&
	       strtol(match + strlen(prefix), NULL, 10) == rule->pid;
}

/* Whether the line belongs to a section (of that name, or for that match) that the new one
 * replaces. */
static bool line_is_replaced(
	const struct policy_set *set, unsigned line, const char *section, const char *match)
{
	const struct policy_rule *of_line = NULL;

	for (size_t i = 0; i < set->count && set->rules[i].line <= line; i++)
		of_line = &set->rules[i];
	return of_line && (strcmp(of_line->section, section) == 0 || same_match(of_line, match) ||
				  same_pid(of_line, match));
}

static bool is_comment_or_blank(const char *line, size_t length)
{
	size_t i = 0;

	while (i < length && strchr(" \t\r\n", line[i]))
		i++;
	return i == length || line[i] == '#' || line[i] == ';';
}

/* Where the first replaced section was, the new one comes; where none was, at the end. */
static int edit(const struct text *old, const struct policy_set *set, const char *section,
	const char *match, const char *rule, struct text *ret)
{
	bool written = false;
	unsigned number = 1;
	const char *line = old->bytes, *const end = old->bytes + old->length;

	for (; line < end; number++) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		const char *next = newline ? newline + 1 : end;
		const size_t length = (size_t)(next - line);
		const bool replaced = line_is_replaced(set, number, section, match);

		if (replaced && !written) {
			fputs(rule, ret->stream);
			written = true;
		}
		if (!replaced || is_comment_or_blank(line, length)) {
			(void)fwrite(line, 1, length, ret->stream);
			if (!newline)
				fputc('\n', ret->stream);
		}
		line = next;
	}
	if (!written && *rule)
		fprintf(ret->stream, "\n%s", rule);
	return text_end(ret);
}

static char *rule_text(const char *section, const char *match, const struct policy *policy)
{
	char *text = NULL;

	if (!policy)
		return strdup("");
	if (asprintf(&text,
		    "[target %s]\nmatch = %s\nmode = %s\ngroup = %s\nhook = %s\nhugepages = %s\n",
		    section, match, policy_mode_name(policy->mode), policy->group,
		    policy_hook_name(policy->hook), policy_hugepages_name(policy->hugepages)) < 0)
		return NULL;
	return text;
}

/* Read back, the rule must be the one that was meant: no name of a VM can smuggle a line in. */
static int check_rule(const char *rule, const char *section, const char *match, char **ret_error)
{
	struct policy_set set;
	int r = policy_set_parse(rule, strlen(rule), SET_FILE, &set, ret_error);

	if (r < 0 || !*rule)
		return r;
	if (set.count != 1 || strcmp(set.rules[0].section, section) != 0 ||
		!same_match(&set.rules[0], match))
		r = ini_error(ret_error, -EINVAL, SET_FILE, 0,
			"the name has characters that a policy file cannot hold");
	policy_set_done(&set);
	return r;
}

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		const ssize_t done = write(fd, bytes, length);

		if (done < 0 && errno != EINTR)
			return -errno;
		if (done > 0) {
			bytes += done;
			length -= (size_t)done;
		}
	}
	return 0;
}

/* Fills fd, syncs it and renames it over the file; after a crash there is the old text or the new
 * one. */
static int put_in_place(int dir, int fd, const char *temporary, const struct text *text)
{
	int r = write_all(fd, text->bytes, text->length);

	if (r == 0 && (fchmod(fd, 0644) < 0 || fsync(fd) < 0))
		r = -errno;
	if (r == 0 && renameat(dir, temporary, dir, SET_FILE) < 0)
		r = -errno;
	if (r == 0 && fsync(dir) < 0)
		r = -errno;
	return r;
}

/* Only one writer at a time (the daemon holds its locks), so a left-over of a crash is overwritten.
 */
static int replace_file(const char *path, const struct text *text)
{
	static const char temporary[] = "." SET_FILE ".new";
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = -1;
	int r;

	if (dir < 0)
		return -errno;
	(void)unlinkat(dir, temporary, 0);
	fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	r = put_in_place(dir, fd, temporary, text);
	if (r < 0)
		(void)unlinkat(dir, temporary, 0);
	return r;
}

/* What the file becomes. Errors of reading are filled in; -ENOMEM may leave *ret_error NULL. */
static int make_text(const char *path, const char *section, const char *match, const char *rule,
	struct text *ret, char **ret_error)
{
	_cleanup_(text_done) struct text old;
	struct policy_set set;
	int r = text_begin(&old);

	if (r < 0)
		return r;
	r = read_whole(path, &old);
	if (r < 0)
		return ini_error(ret_error, r, path, 0, strerror(-r));
	r = policy_set_parse(old.bytes, old.length, path, &set, ret_error);
	if (r < 0)
		return r;
	r = text_begin(ret);
	if (r == 0)
		r = edit(&old, &set, section, match, rule, ret);
	policy_set_done(&set);
	return r;
}

int policy_file_set(const char *dir, const char *section, const char *match,
	const struct policy *policy, char **ret_error)
{
	_cleanup_free_ char *rule = rule_text(section, match, policy);
	_cleanup_free_ char *path = NULL;
	_cleanup_(text_done) struct text text = { 0 };
	int r;

	if (!rule || asprintf(&path, "%s/%s", dir, SET_FILE) < 0)
		return ini_error(ret_error, -ENOMEM, dir, 0, "out of memory");
	r = check_rule(rule, section, match, ret_error);
	if (r < 0)
		return r;
	if (mkdir(dir, 0755) < 0 && errno != EEXIST) {
		r = -errno;
		return ini_error(ret_error, r, dir, 0, strerror(-r));
	}
	*ret_error = NULL;
	r = make_text(path, section, match, rule, &text, ret_error);
	if (r == 0)
		r = replace_file(dir, &text);
	if (r < 0 && !*ret_error)
		return ini_error(ret_error, r, path, 0, strerror(-r));
	return r;
}

int policy_file_read(const char *dir, char **ret_text)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_(text_done) struct text text = { 0 };
	int r;

	*ret_text = NULL;
	if (asprintf(&path, "%s/%s", dir, SET_FILE) < 0)
		return -ENOMEM;
	if (access(path, F_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	r = text_begin(&text);
	if (r == 0)
		r = read_whole(path, &text);
	if (r == 0)
		*ret_text = steal_pointer(&text.bytes);
	return r;
}

int policy_file_write(const char *dir, const char *text)
{
	const struct text whole = { .bytes = (char *)(uintptr_t)text, .length = text ? strlen(text) : 0 };
	_cleanup_free_ char *path = NULL;

	if (text)
		return replace_file(dir, &whole);
	if (asprintf(&path, "%s/%s", dir, SET_FILE) < 0)
		return -ENOMEM;
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static const char name_bytes[] =
	"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

/* The name as a pattern that matches it and nothing else. -EINVAL: no line of a policy file can say
 * it. */
static int quote_name(const char *name, char *ret, size_t size)
{
	size_t length = 0;

	for (; *name; name++) {
		const bool special = strchr("*?[", *name) != NULL;

		if ((unsigned char)*name < ' ' || *name == 0x7f || length + 4 > size)
			return -EINVAL;
		if (*name == ' ' && (!name[1] || strchr("#;", name[1])))
			return -EINVAL;
		length += (size_t)sprintf(ret + length, special ? "[%c]" : "%c", *name);
	}
	return length > 0 ? 0 : -EINVAL;
}

/* A section name for a name that has other bytes in it: readable, and as good as unique. */
static void odd_section(const char *name, char *ret, size_t size)
{
	uint32_t hash = 2166136261u; /* FNV-1a */
	char readable[33];
	size_t length = 0;

	for (const char *c = name; *c; c++) {
		hash = (hash ^ (unsigned char)*c) * 16777619u;
		if (length < sizeof(readable) - 1)
			readable[length++] = strchr(name_bytes, *c) ? *c : '_';
	}
	readable[length] = '\0';
	(void)snprintf(ret, size, "%s-%08x", readable, hash);
}

void policy_target_of(const struct policy_subject *subject, struct policy_target *ret)
{
	const char *name = subject->name ? subject->name : "";
	const char *uuid = subject->uuid ? subject->uuid : "";
	const size_t length = strlen(name);
	const bool plain = strspn(name, name_bytes) == length && length < sizeof(ret->section);
	char pattern[128];

	if (subject->is_vm && *uuid && strspn(uuid, "0123456789abcdefABCDEF-") == strlen(uuid)) {
		(void)snprintf(ret->section, sizeof(ret->section), "%.33s-%.8s",
			plain && *name ? name : "vm", uuid);
		(void)snprintf(ret->match, sizeof(ret->match), "vm:%.128s", uuid);
	} else if (subject->is_vm && quote_name(name, pattern, sizeof(pattern)) == 0) {
		(void)snprintf(ret->match, sizeof(ret->match), "vm:%s", pattern);
		if (plain)
			(void)snprintf(ret->section, sizeof(ret->section), "%s", name);
		else
			odd_section(name, ret->section, sizeof(ret->section));
	} else {
		if (subject->boot_id)
			(void)snprintf(ret->match, sizeof(ret->match), "pid:%d@%" PRIu64 "/%.36s",
				(int)subject->pid, subject->started_ticks, subject->boot_id);
		else
			(void)snprintf(ret->match, sizeof(ret->match), "pid:%d", (int)subject->pid);
		(void)snprintf(ret->section, sizeof(ret->section), "pid-%d", (int)subject->pid);
	}
}
