// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/memcg.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/number.h"
#include "hypervisor-glue/host_memory.h"

/* v1 prints PAGE_COUNTER_MAX in bytes, which is LONG_MAX rounded down to a page. */
#define V1_UNLIMITED UINT64_C(0x7ffffffffffff000)

struct slice {
	const char *at;
	size_t length;
};

/* Cuts the text up to the separator off *inout; what is left begins behind it. */
static struct slice slice_cut(struct slice *inout, char separator)
{
	const char *const found = memchr(inout->at, separator, inout->length);
	const size_t length = found ? (size_t)(found - inout->at) : inout->length;
	const struct slice head = { inout->at, length };
	const size_t consumed = length + (found != NULL);

	inout->at += consumed;
	inout->length -= consumed;
	return head;
}

static bool slice_equal(struct slice slice, const char *text)
{
	return slice.length == strlen(text) && !memcmp(slice.at, text, slice.length);
}

static bool list_contains(struct slice list, const char *word)
{
	while (list.length)
		if (slice_equal(slice_cut(&list, ','), word))
			return true;
	return false;
}

/* The kernel writes blank, tab, newline and backslash in a path as \ooo. */
static int unescape(struct slice slice, char ret[PATH_MAX])
{
	size_t length = 0;

	for (size_t i = 0; i < slice.length; i++) {
		char c = slice.at[i];

		if (c == '\\') {
			uint64_t value;
			char digits[4] = { 0 };

			if (slice.length - i < 4)
				return -EINVAL;
			memcpy(digits, slice.at + i + 1, 3);
			if (number_parse_u64(digits, 8, &value) < 0 || value == 0 || value > 0xff)
				return -EINVAL;
			c = (char)value;
			i += 3;
		}
		if (length + 1 >= PATH_MAX)
			return -EINVAL;
		ret[length++] = c;
	}
	ret[length] = '\0';
	return 0;
}

/* hierarchy:controllers:path; v2 is "0::path". */
static int find_cgroup(struct slice text, enum memcg_version version, struct slice *ret)
{
	while (text.length) {
		struct slice line = slice_cut(&text, '\n');
		const struct slice hierarchy = slice_cut(&line, ':');
		const struct slice controllers = slice_cut(&line, ':');
		const bool found = version == MEMCG_V2
					   ? slice_equal(hierarchy, "0") && !controllers.length
					   : list_contains(controllers, "memory");

		if (found && line.length && *line.at == '/') {
			*ret = line;
			return 0;
		}
	}
	return -ENOENT;
}

struct mount {
	struct slice root, point;
};

/* id parent major:minor root point options [optional...] - type source super-options */
static bool parse_mount(struct slice line, enum memcg_version version, struct mount *ret)
{
	struct slice type, field;

	for (int i = 0; i < 3; i++)
		(void)slice_cut(&line, ' ');
	ret->root = slice_cut(&line, ' ');
	ret->point = slice_cut(&line, ' ');
	do {
		if (!line.length)
			return false;
		field = slice_cut(&line, ' ');
	} while (!slice_equal(field, "-"));
	type = slice_cut(&line, ' ');
	(void)slice_cut(&line, ' ');
	if (version == MEMCG_V2)
		return slice_equal(type, "cgroup2");
	return slice_equal(type, "cgroup") && list_contains(line, "memory");
}

static int find_mount(struct slice text, enum memcg_version version, struct mount *ret)
{
	while (text.length) {
		struct mount mount;

		if (parse_mount(slice_cut(&text, '\n'), version, &mount)) {
			*ret = mount;
			return 0;
		}
	}
	return -ENOENT;
}

/* Where the cgroup is below a mount that shows the hierarchy from root on. */
static int relative_to(const char *root, struct slice *inout_cgroup)
{
	const size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (inout_cgroup->length < length || memcmp(inout_cgroup->at, root, length) != 0)
		return -EXDEV;
	inout_cgroup->at += length;
	inout_cgroup->length -= length;
	if (inout_cgroup->length && *inout_cgroup->at != '/')
		return -EXDEV;
	if (inout_cgroup->length == 1)
		inout_cgroup->length = 0;
	if (inout_cgroup->length >= 3 && !memcmp(inout_cgroup->at, "/..", 3) &&
		(inout_cgroup->length == 3 || inout_cgroup->at[3] == '/'))
		return -EXDEV;
	return 0;
}

int memcg_path_find(const char *cgroup, const char *mountinfo, enum memcg_version version,
	struct memcg_path *ret)
{
	struct slice group;
	struct mount mount;
	struct memcg_path path;
	char root[PATH_MAX];
	size_t length;
	int r;

	r = find_cgroup((struct slice){ cgroup, strlen(cgroup) }, version, &group);
	if (r == 0)
		r = find_mount((struct slice){ mountinfo, strlen(mountinfo) }, version, &mount);
	if (r == 0)
		r = unescape(mount.root, root);
	if (r == 0)
		r = unescape(mount.point, path.path);
	if (r == 0)
		r = relative_to(root, &group);
	if (r < 0)
		return r;
	path.mount_length = strlen(path.path);
	if (path.mount_length == 0 || path.path[0] != '/')
		return -EINVAL;
	length = path.mount_length + group.length;
	if (length >= sizeof(path.path))
		return -ENAMETOOLONG;
	memcpy(path.path + path.mount_length, group.at, group.length);
	path.path[length] = '\0';
	*ret = path;
	return 0;
}

static int parse_number(const char *text, uint64_t *ret)
{
	const size_t length = strcspn(text, "\n");
	char digits[24];

	if (length >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, length);
	digits[length] = '\0';
	return number_parse_u64(digits, 10, ret) < 0 ? -EINVAL : 0;
}

int memcg_room_parse(const char *limit, const char *usage, uint64_t *ret_bytes)
{
	uint64_t limit_bytes, usage_bytes;

	if (!strcmp(limit, "max\n") || !strcmp(limit, "max")) {
		*ret_bytes = MEMCG_UNLIMITED;
		return 0;
	}
	if (parse_number(limit, &limit_bytes) < 0 || parse_number(usage, &usage_bytes) < 0)
		return -EINVAL;
	if (limit_bytes >= V1_UNLIMITED)
		*ret_bytes = MEMCG_UNLIMITED;
	else
		*ret_bytes = limit_bytes > usage_bytes ? limit_bytes - usage_bytes : 0;
	return 0;
}

/* A line of memory.stat, "key value"; in v1 those with this prefix are of the whole subtree, as all are in v2. */
static uint64_t stat_value(const char *stat, enum memcg_version version, const char *key)
{
	struct slice text = { stat, strlen(stat) };

	while (text.length) {
		struct slice line = slice_cut(&text, '\n');
		struct slice name = slice_cut(&line, ' ');
		char digits[24] = { 0 };
		uint64_t value;

		if (version == MEMCG_V1 && name.length > strlen("total_") &&
			!memcmp(name.at, "total_", strlen("total_"))) {
			name.at += strlen("total_");
			name.length -= strlen("total_");
		} else if (version == MEMCG_V1) {
			continue;
		}
		if (!slice_equal(name, key) || line.length >= sizeof(digits))
			continue;
		memcpy(digits, line.at, line.length);
		return number_parse_u64(digits, 10, &value) < 0 ? 0 : value;
	}
	return 0;
}

uint64_t memcg_reclaimable_parse(const char *stat, enum memcg_version version)
{
	static const char *const v2_names[] = { "file_dirty", "file_writeback" };
	static const char *const v1_names[] = { "dirty", "writeback" };
	const char *const *names = version == MEMCG_V1 ? v1_names : v2_names;
	const uint64_t busy =
		stat_value(stat, version, names[0]) + stat_value(stat, version, names[1]);
	const uint64_t file = stat_value(stat, version, "inactive_file") +
		stat_value(stat, version, "active_file");

	return file > busy ? file - busy : 0;
}

struct level_files {
	enum memcg_version version;
	const char *limit, *usage;
};

/* A full cgroup of which much is cache of files has room all the same. */
static uint64_t read_reclaimable(
	const struct host_root *root, const char *directory, enum memcg_version version)
{
	_cleanup_free_ char *stat = NULL;
	char path[PATH_MAX + 32];

	(void)snprintf(path, sizeof(path), "%s/memory.stat", directory);
	if (host_root_read_absolute(root, path, &stat, NULL) < 0)
		return 0;
	return memcg_reclaimable_parse(stat, version);
}

/* MEMCG_UNLIMITED where the level has no such files: v2's root, or v2 without the controller. */
static int read_level(const struct host_root *root, const char *directory,
	const struct level_files *files, uint64_t *ret_bytes)
{
	_cleanup_free_ char *limit = NULL, *usage = NULL;
	char path[PATH_MAX + 32];
	uint64_t bytes;
	int r;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, files->limit);
	r = host_root_read_absolute(root, path, &limit, NULL);
	if (r == 0) {
		(void)snprintf(path, sizeof(path), "%s/%s", directory, files->usage);
		r = host_root_read_absolute(root, path, &usage, NULL);
	}
	if (r == -ENOENT || r == -ENODEV) { /* ENODEV: the cgroup is being removed */
		*ret_bytes = MEMCG_UNLIMITED;
		return 0;
	}
	if (r == 0)
		r = memcg_room_parse(limit, usage, &bytes);
	if (r == 0 && bytes != MEMCG_UNLIMITED)
		bytes += read_reclaimable(root, directory, files->version);
	if (r == 0)
		*ret_bytes = bytes;
	return r;
}

/* From the process's own cgroup up to the mount point; path is cut in the course. */
static int least_room(const struct host_root *root, struct memcg_path *path,
	const struct level_files *files, uint64_t *inout_bytes)
{
	for (;;) {
		uint64_t bytes;
		char *slash;
		const int r = read_level(root, path->path, files, &bytes);

		if (r < 0)
			return r;
		if (bytes < *inout_bytes)
			*inout_bytes = bytes;
		slash = strrchr(path->path, '/');
		if (!slash || (size_t)(slash - path->path) < path->mount_length)
			return 0;
		*slash = '\0';
	}
}

int memcg_headroom_read(const struct host_root *root, pid_t pid, uint64_t *ret_bytes)
{
	static const struct level_files files[] = {
		[MEMCG_V1] = { MEMCG_V1, "memory.limit_in_bytes", "memory.usage_in_bytes" },
		[MEMCG_V2] = { MEMCG_V2, "memory.max", "memory.current" },
	};
	_cleanup_free_ char *cgroup = NULL, *mountinfo = NULL;
	uint64_t bytes = MEMCG_UNLIMITED;
	int r;

	r = host_root_read_process(root, pid, "cgroup", &cgroup, NULL);
	if (r == 0)
		r = host_root_read_proc(root, "self/mountinfo", &mountinfo, NULL);
	if (r < 0)
		return r;
	/* Both may be mounted; the controller is in one of them, the other has no such files. */
	for (enum memcg_version version = MEMCG_V1; version <= MEMCG_V2; version++) {
		struct memcg_path path;

		r = memcg_path_find(cgroup, mountinfo, version, &path);
		if (r == 0)
			r = least_room(root, &path, &files[version], &bytes);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	*ret_bytes = bytes;
	return 0;
}
