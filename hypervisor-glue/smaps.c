// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One pass over the text, no copy: a guest marked extent by extent has tens of thousands of VMAs
 * and its smaps tens of megabytes. A record opens with a line as in /proc/PID/maps (the only lines
 * that start with a lower-case hexadecimal digit) and ends with VmFlags.
 */
#include "hypervisor-glue/smaps.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define PAGE_MASK UINT64_C(0xfff)

/* The kernel hands out smaps a page of text at a time and drops the mmap lock in between. A VMA
 * that grows downwards over one already printed (marks taken off merge neighbours) shows up as
 * overlap; it is rare that this happens twice in a row. */
#define READ_ATTEMPTS 5

struct cursor {
	const char *at, *end;
};

static bool is_lower_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static int take_hex(struct cursor *cursor, uint64_t *ret)
{
	const char *const first = cursor->at;
	uint64_t value = 0;

	while (cursor->at < cursor->end && is_lower_hex(*cursor->at)) {
		const char c = *cursor->at++;

		if (value >> 60)
			return -EINVAL;
		value = (value << 4) | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	if (cursor->at == first)
		return -EINVAL;
	*ret = value;
	return 0;
}

static int take_decimal(struct cursor *cursor, uint64_t *ret)
{
	const char *const first = cursor->at;
	uint64_t value = 0;

	while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
		const uint64_t digit = (uint64_t)(*cursor->at++ - '0');

		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, digit, &value))
			return -EINVAL;
	}
	if (cursor->at == first)
		return -EINVAL;
	*ret = value;
	return 0;
}

static int take_char(struct cursor *cursor, char c)
{
	if (cursor->at == cursor->end || *cursor->at != c)
		return -EINVAL;
	cursor->at++;
	return 0;
}

static void skip_blanks(struct cursor *cursor)
{
	while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t'))
		cursor->at++;
}

static bool starts_with(const struct cursor *cursor, const char *prefix, size_t length)
{
	return (size_t)(cursor->end - cursor->at) >= length && !memcmp(cursor->at, prefix, length);
}
#define STARTS_WITH(cursor, literal) starts_with(cursor, literal, sizeof(literal) - 1)

static int take_permissions(struct cursor *cursor, struct vma *vma)
{
	const char *const p = cursor->at;

	if (cursor->end - p < 5 || p[4] != ' ')
		return -EINVAL;
	vma->readable = p[0] == 'r';
	vma->writable = p[1] == 'w';
	vma->executable = p[2] == 'x';
	vma->shared = p[3] == 's';
	cursor->at += 5;
	return 0;
}

static enum vma_backing backing_of(const struct cursor *name, uint64_t inode)
{
	/* A System V segment with id 0 has inode 0 and a path. */
	if (inode != 0 || STARTS_WITH(name, "/"))
		return VMA_FILE;
	if (name->at == name->end || STARTS_WITH(name, "[heap]") || STARTS_WITH(name, "[anon:"))
		return VMA_ANONYMOUS;
	return VMA_SPECIAL;
}

/* 7f12a4000000-7f12a4021000 rw-p 00000000 00:00 0    [name, newlines escaped] */
static int parse_header(struct cursor line, struct vma *ret)
{
	struct vma vma = { 0 };
	uint64_t ignored, inode;

	if (take_hex(&line, &vma.start) < 0 || take_char(&line, '-') < 0 ||
		take_hex(&line, &vma.end) < 0 || take_char(&line, ' ') < 0 ||
		take_permissions(&line, &vma) < 0 || take_hex(&line, &ignored) < 0 ||
		take_char(&line, ' ') < 0 || take_hex(&line, &ignored) < 0 ||
		take_char(&line, ':') < 0 || take_hex(&line, &ignored) < 0 ||
		take_char(&line, ' ') < 0 || take_decimal(&line, &inode) < 0)
		return -EINVAL;
	if (line.at < line.end && *line.at != ' ')
		return -EINVAL;
	skip_blanks(&line);
	if (vma.start >= vma.end || ((vma.start | vma.end) & PAGE_MASK))
		return -EINVAL;
	vma.backing = backing_of(&line, inode);
	vma.heap = vma.backing == VMA_ANONYMOUS && STARTS_WITH(&line, "[heap]");
	vma.memfd = vma.backing == VMA_FILE && STARTS_WITH(&line, "/memfd:");
	*ret = vma;
	return 0;
}

static int parse_kib(struct cursor value, uint64_t *ret_bytes)
{
	uint64_t kib;

	skip_blanks(&value);
	if (take_decimal(&value, &kib) < 0 || !STARTS_WITH(&value, " kB") || kib > UINT64_MAX >> 10)
		return -EINVAL;
	*ret_bytes = kib << 10;
	return 0;
}

static uint32_t flag_of(const char name[2])
{
	static const struct {
		char name[3];
		uint32_t flag;
	} flags[] = {
		{ "mg", VMA_MERGEABLE },
		{ "hg", VMA_HUGEPAGE },
		{ "nh", VMA_NOHUGEPAGE },
		{ "ht", VMA_HUGETLB },
		{ "pf", VMA_PFNMAP },
		{ "io", VMA_IO },
		{ "um", VMA_UFFD },
		{ "uw", VMA_UFFD },
		{ "ui", VMA_UFFD },
		{ "mm", VMA_MIXEDMAP },
		{ "dc", VMA_DONTCOPY },
		{ "de", VMA_DONTEXPAND },
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (name[0] == flags[i].name[0] && name[1] == flags[i].name[1])
			return flags[i].flag;
	return 0;
}

/* Two letters and a blank each. */
static uint32_t parse_flags(struct cursor value)
{
	uint32_t flags = 0;

	for (;;) {
		const char *word;

		skip_blanks(&value);
		word = value.at;
		while (value.at < value.end && *value.at != ' ')
			value.at++;
		if (value.at == word)
			return flags;
		if (value.at - word == 2)
			flags |= flag_of(word);
	}
}

/* One "Name:   value" line of a record; names that are not wanted are skipped. */
static int parse_field(struct cursor line, struct vma *vma, bool *inout_ksm, bool *ret_complete)
{
	static const struct {
		const char *name;
		size_t length, offset;
	} fields[] = {
#define FIELD(text, member) { text, sizeof(text) - 1, offsetof(struct vma, member) }
		FIELD("Rss:", rss_bytes),
		FIELD("Pss:", pss_bytes),
		FIELD("Anonymous:", anonymous_bytes),
		FIELD("AnonHugePages:", anon_huge_bytes),
		FIELD("Swap:", swap_bytes),
		FIELD("KSM:", ksm_bytes),
#undef FIELD
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		if (*line.at != *fields[i].name ||
			!starts_with(&line, fields[i].name, fields[i].length))
			continue;
		line.at += fields[i].length;
		if (fields[i].offset == offsetof(struct vma, ksm_bytes))
			*inout_ksm = true;
		return parse_kib(line, (uint64_t *)(void *)((char *)vma + fields[i].offset));
	}
	if (STARTS_WITH(&line, "VmFlags:")) {
		line.at += sizeof("VmFlags:") - 1;
		vma->flags = parse_flags(line);
		*ret_complete = true;
	}
	return 0;
}

static int list_append(struct smaps_list *list, size_t *capacity, const struct vma *vma)
{
	if (list->count == *capacity) {
		const size_t wanted = *capacity ? *capacity * 2 : 256;
		struct vma *const grown = reallocarray(list->vmas, wanted, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		list->vmas = grown;
		*capacity = wanted;
	}
	list->vmas[list->count++] = *vma;
	return 0;
}

/* The line at *inout_at without its newline; a last line without one is truncated text. */
static int next_line(const char **inout_at, const char *end, struct cursor *ret)
{
	const char *const newline = memchr(*inout_at, '\n', (size_t)(end - *inout_at));

	if (!newline)
		return -EINVAL;
	*ret = (struct cursor){ *inout_at, newline };
	*inout_at = newline + 1;
	return 0;
}

static int parse_records(const char *at, const char *end, struct smaps_list *list)
{
	bool complete = true; /* the record read last, or there is none yet */
	size_t capacity = 0;
	uint64_t previous_end = 0;
	int r = 0;

	while (r == 0 && at < end) {
		struct cursor line;
		struct vma vma;

		if (next_line(&at, end, &line) < 0)
			return -EINVAL;
		if (is_lower_hex(*line.at)) {
			if (!complete || parse_header(line, &vma) < 0)
				return -EINVAL;
			if (vma.start < previous_end)
				return -ESTALE;
			complete = false;
			previous_end = vma.end;
			r = list_append(list, &capacity, &vma);
		} else if (list->count == 0) {
			return -EINVAL;
		} else {
			r = parse_field(
				line, &list->vmas[list->count - 1], &list->has_ksm, &complete);
		}
	}
	return r < 0 ? r : complete ? 0 : -EINVAL;
}

int smaps_parse(const char *text, size_t length, struct smaps_list *ret)
{
	struct smaps_list list = { 0 };
	const int r = parse_records(text, text + length, &list);

	if (r < 0) {
		smaps_list_done(&list);
		return r;
	}
	*ret = list;
	return 0;
}

static int read_once(const struct host_root *root, pid_t pid, struct smaps_list *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	int r;

	r = host_root_read_process(root, pid, "smaps", &text, &length);
	if (r < 0)
		return r;
	if (length == 0) /* a kernel thread, a zombie, or it has just let go of its memory */
		return -ESRCH;
	return smaps_parse(text, length, ret);
}

static void forget_ksm(struct smaps_list *list)
{
	list->has_ksm = false;
	for (size_t i = 0; i < list->count; i++)
		list->vmas[i].ksm_bytes = 0;
}

int smaps_read(const struct host_root *root, pid_t pid, struct smaps_list *ret)
{
	int r = -ESTALE;

	for (int i = 0; i < READ_ATTEMPTS && r == -ESTALE; i++)
		r = read_once(root, pid, ret);
	if (r == 0 && root->lacks & HOST_LACKS_SMAPS_KSM)
		forget_ksm(ret);
	return r;
}

int smaps_pss_parse(const char *text, size_t length, uint64_t *ret_bytes)
{
	const char *at = text;
	struct cursor line;

	while (at < text + length && next_line(&at, text + length, &line) == 0) {
		if (!STARTS_WITH(&line, "Pss:"))
			continue;
		line.at += sizeof("Pss:") - 1;
		return parse_kib(line, ret_bytes);
	}
	return -EINVAL;
}

int smaps_pss_read(const struct host_root *root, pid_t pid, uint64_t *ret_bytes)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	int r;

	r = host_root_read_process(root, pid, "smaps_rollup", &text, &length);
	if (r == 0 && length == 0)
		return -ESRCH;
	return r < 0 ? r : smaps_pss_parse(text, length, ret_bytes);
}

const struct vma *smaps_find(const struct smaps_list *smaps, uint64_t address)
{
	size_t low = 0, high = smaps->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct vma *vma = &smaps->vmas[middle];

		if (address < vma->start)
			high = middle;
		else if (address >= vma->end)
			low = middle + 1;
		else
			return vma;
	}
	return NULL;
}

void smaps_list_done(struct smaps_list *list)
{
	free(list->vmas);
	*list = (struct smaps_list){ 0 };
}
