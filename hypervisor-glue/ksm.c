// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/ksm.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "common/cleanup.h"
#include "common/number.h"
#include "hypervisor-glue/numa.h"
#include "hypervisor-glue/process.h"

#define KSM_DIRECTORY  "kernel/mm/ksm/"
#define ADVISOR_FILE   KSM_DIRECTORY "advisor_mode"
#define ADVISOR_NONE   "none"
#define ADVISOR_ACTIVE "scan-time"
/* Kernel threads are children of kthreadd. */

struct knob {
	const char *path;
	size_t offset;
	bool required; /* since the first KSM; -ENOENT means that there is none */
};

#define KNOB(type, name, is_required)                                                              \
	{                                                                                          \
		KSM_DIRECTORY #name, offsetof(struct type, name), is_required                      \
	}

/* Without run and the advisor, whose order among the others matters. */
static const struct knob plain_knobs[] = {
	KNOB(ksm_knobs, pages_to_scan, true), KNOB(ksm_knobs, sleep_millisecs, true),
	KNOB(ksm_knobs, smart_scan, false),     /* 6.7 */
	KNOB(ksm_knobs, use_zero_pages, false), /* 4.12 */
};

static int read_number(const struct host_root *root, const char *path, int64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	uint64_t value;
	bool negative;
	int r;

	r = host_root_read_sys(root, path, &text, NULL);
	if (r < 0)
		return r;
	text[strcspn(text, "\n")] = '\0';
	negative = *text == '-';
	if (number_parse_u64(text + negative, 10, &value) < 0 || value > INT64_MAX)
		return -EINVAL;
	*ret = negative ? -(int64_t)value : (int64_t)value;
	return 0;
}

static int write_number(const struct host_root *root, const char *path, int64_t value)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	return host_root_write_sys(root, path, text);
}

static bool is_lacking(const struct host_root *root, const char *path)
{
	return (root->lacks & HOST_LACKS_SMART_SCAN && !strcmp(path, KSM_DIRECTORY "smart_scan")) ||
	       (root->lacks & HOST_LACKS_ZERO_PAGES &&
		       !strcmp(path, KSM_DIRECTORY "ksm_zero_pages"));
}

static int read_knob(const struct host_root *root, const char *path, bool required, int64_t *ret)
{
	int64_t value = KSM_KNOB_ABSENT;
	const int r = is_lacking(root, path) ? -ENOENT : read_number(root, path, &value);

	if (r < 0 && (r != -ENOENT || required))
		return r;
	*ret = value;
	return 0;
}

/* "[none] scan-time": the one in brackets holds. */
static int advisor_read(const struct host_root *root, int64_t *ret)
{
	_cleanup_free_ char *text = NULL;
	const int r = host_root_read_sys(root, ADVISOR_FILE, &text, NULL);

	if (r == -ENOENT)
		*ret = KSM_KNOB_ABSENT;
	else if (r < 0)
		return r;
	else if (strstr(text, "[" ADVISOR_NONE "]"))
		*ret = 0;
	else if (strstr(text, "[" ADVISOR_ACTIVE "]"))
		*ret = 1;
	else
		return -EINVAL;
	return 0;
}

static int64_t *field(void *base, const struct knob *knob)
{
	return (int64_t *)(void *)((char *)base + knob->offset);
}

static int64_t value_of(const struct ksm_knobs *knobs, const struct knob *knob)
{
	return *(const int64_t *)(const void *)((const char *)knobs + knob->offset);
}

int ksm_knobs_read(const struct host_root *root, struct ksm_knobs *ret)
{
	struct ksm_knobs knobs = { 0 };
	int r;

	r = read_knob(root, KSM_DIRECTORY "run", true, &knobs.run);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(plain_knobs); i++)
		r = read_knob(root, plain_knobs[i].path, plain_knobs[i].required,
			field(&knobs, &plain_knobs[i]));
	if (r == 0)
		r = advisor_read(root, &knobs.advisor_scan_time);
	if (r == 0)
		*ret = knobs;
	return r;
}

int ksm_run_write(const struct host_root *root, int run)
{
	return write_number(root, KSM_DIRECTORY "run", run);
}

int ksm_sleep_write(const struct host_root *root, int64_t sleep_millisecs)
{
	return write_number(root, KSM_DIRECTORY "sleep_millisecs", sleep_millisecs);
}

/* The advisor sets pages_to_scan itself: anew whenever it is switched, all the time while it is on,
 * and then writes to it are refused (mm/ksm.c, pages_to_scan_store()). */
static bool is_advisors_business(const struct knob *knob, const struct ksm_knobs *knobs)
{
	return knob->offset == offsetof(struct ksm_knobs, pages_to_scan) &&
	       knobs->advisor_scan_time == 1;
}

static void keep_first(int *inout_error, int r)
{
	if (*inout_error == 0 && r < 0)
		*inout_error = r;
}

static int advisor_write(
	const struct host_root *root, const struct ksm_knobs *now, const struct ksm_knobs *knobs)
{
	if (knobs->advisor_scan_time == KSM_KNOB_ABSENT ||
		knobs->advisor_scan_time == now->advisor_scan_time)
		return 0;
	return host_root_write_sys(
		root, ADVISOR_FILE, knobs->advisor_scan_time ? ADVISOR_ACTIVE : ADVISOR_NONE);
}

static int plain_knob_write(
	const struct host_root *root, const struct knob *knob, const struct ksm_knobs *knobs)
{
	const int64_t wanted = value_of(knobs, knob);
	int64_t now;
	int r;

	if (wanted == KSM_KNOB_ABSENT || is_advisors_business(knob, knobs))
		return 0;
	/* Read again: the advisor may have changed it a moment ago. */
	r = read_number(root, knob->path, &now);
	if (r < 0)
		return r;
	return now == wanted ? 0 : write_number(root, knob->path, wanted);
}

int ksm_knobs_write(const struct host_root *root, const struct ksm_knobs *knobs)
{
	const bool starts = knobs->run == 1;
	struct ksm_knobs now;
	int error;

	error = ksm_knobs_read(root, &now);
	if (error < 0)
		return error;
	if (!starts && now.run != knobs->run)
		keep_first(&error, ksm_run_write(root, (int)knobs->run));
	keep_first(&error, advisor_write(root, &now, knobs));
	for (size_t i = 0; i < ARRAY_SIZE(plain_knobs); i++)
		keep_first(&error, plain_knob_write(root, &plain_knobs[i], knobs));
	if (starts && now.run != knobs->run)
		keep_first(&error, ksm_run_write(root, (int)knobs->run));
	return error;
}

bool ksm_knobs_equal(const struct ksm_knobs *a, const struct ksm_knobs *b)
{
	if (a->run != b->run || a->advisor_scan_time != b->advisor_scan_time)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(plain_knobs); i++)
		if (!is_advisors_business(&plain_knobs[i], a) &&
			value_of(a, &plain_knobs[i]) != value_of(b, &plain_knobs[i]))
			return false;
	return true;
}

int ksm_counters_read(const struct host_root *root, struct ksm_counters *ret)
{
	static const struct knob counter_files[] = {
		KNOB(ksm_counters, full_scans, true), KNOB(ksm_counters, pages_shared, true),
		KNOB(ksm_counters, pages_sharing, true), KNOB(ksm_counters, pages_unshared, true),
		KNOB(ksm_counters, pages_volatile, true),
		KNOB(ksm_counters, ksm_zero_pages, false),     /* 6.6 */
		KNOB(ksm_counters, pages_scanned, false),      /* 6.6 */
	};
	struct ksm_counters counters = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(counter_files); i++) {
		const int r = read_knob(root, counter_files[i].path, counter_files[i].required,
			field(&counters, &counter_files[i]));

		if (r < 0)
			return r;
	}
	*ret = counters;
	return 0;
}

bool ksm_keeps_nodes_apart(const struct host_root *root)
{
	_cleanup_(numa_nodes_done) struct numa_nodes nodes = { 0 };
	int64_t across;

	/* Without CONFIG_NUMA there is no such knob. */
	return read_knob(root, KSM_DIRECTORY "merge_across_nodes", false, &across) == 0 &&
	       across == 0 && numa_nodes_read(root, &nodes) == 0 && nodes.count > 1;
}

int ksm_full_scans_read(const struct host_root *root, uint64_t *ret)
{
	int64_t value;
	const int r = read_number(root, KSM_DIRECTORY "full_scans", &value);

	if (r < 0)
		return r;
	*ret = (uint64_t)value;
	return 0;
}

int ksm_driver_lock(const struct host_root *root, int *ret_fd)
{
	_cleanup_close_ int fd = openat(root->sys_fd, KSM_DIRECTORY "run", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	*ret_fd = steal_fd(&fd);
	return 0;
}

static bool is_ksmd(const struct host_root *root, pid_t pid)
{
	struct process_stat stat;

	return process_stat_read(root, pid, &stat) == 0 && !strcmp(stat.comm, "ksmd") &&
	       stat.parent == KTHREADD_PID;
}

static int ksmd_find(const struct host_root *root, pid_t *ret)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t count;
	const int r = process_list(root, &pids, &count);

	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++)
		if (is_ksmd(root, pids[i])) {
			*ret = pids[i];
			return 0;
		}
	return -ESRCH;
}

int ksmd_cpu_ns_read(const struct host_root *root, pid_t *inout_pid, uint64_t *ret_ns)
{
	_cleanup_free_ char *text = NULL;
	int r;

	if (*inout_pid <= 0 || !is_ksmd(root, *inout_pid)) {
		r = ksmd_find(root, inout_pid);
		if (r < 0)
			return r;
	}
	r = host_root_read_process(root, *inout_pid, "schedstat", &text, NULL);
	if (r < 0)
		return r;
	/* nanoseconds on a CPU, nanoseconds waiting for one, time slices */
	text[strcspn(text, " \n")] = '\0';
	return number_parse_u64(text, 10, ret_ns) < 0 ? -EINVAL : 0;
}

struct stat_line {
	const char *name;
	int64_t *number;
	enum tristate *answer;
};

static void parse_stat_line(const char *name, const char *value, const struct stat_line *line)
{
	uint64_t number;

	if (strcmp(name, line->name) != 0)
		return;
	if (line->number && number_parse_u64(value, 10, &number) == 0 && number <= INT64_MAX)
		*line->number = (int64_t)number;
	if (line->answer && (!strcmp(value, "yes") || !strcmp(value, "no")))
		*line->answer = strcmp(value, "yes") == 0 ? TRISTATE_YES : TRISTATE_NO;
}

void process_ksm_parse(const char *text, struct process_ksm *ret)
{
	struct process_ksm ksm = {
		.rmap_items = KSM_KNOB_ABSENT,
		.zero_pages = KSM_KNOB_ABSENT,
		.merging_pages = KSM_KNOB_ABSENT,
		.mergeable = TRISTATE_UNKNOWN,
		.merge_any = TRISTATE_UNKNOWN,
	};
	const struct stat_line lines[] = {
		{ "ksm_rmap_items", &ksm.rmap_items, NULL },
		{ "ksm_zero_pages", &ksm.zero_pages, NULL },
		{ "zero_pages", &ksm.zero_pages, NULL }, /* its name in 6.6 */
		{ "ksm_merging_pages", &ksm.merging_pages, NULL },
		{ "ksm_merge_any:", NULL, &ksm.merge_any },
		{ "ksm_mergeable:", NULL, &ksm.mergeable },
	};

	while (*text) {
		const size_t length = strcspn(text, "\n");
		char line[80], name[32], value[32], extra;

		/* Cut short, a longer line has a third word or is none that we know. */
		(void)snprintf(line, sizeof(line), "%.*s", (int)(length < 79 ? length : 79), text);
		if (sscanf(line, "%31s %31s %c", name, value, &extra) == 2)
			for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
				parse_stat_line(name, value, &lines[i]);
		text += length + (text[length] == '\n');
	}
	*ret = ksm;
}

int process_ksm_read(const struct host_root *root, pid_t pid, struct process_ksm *ret)
{
	_cleanup_free_ char *text = NULL;
	const int r = host_root_read_process(root, pid, "ksm_stat", &text, NULL);

	if (r < 0)
		return r;
	process_ksm_parse(text, ret);
	if (root->lacks & HOST_LACKS_ZERO_PAGES)
		ret->zero_pages = KSM_KNOB_ABSENT;
	return 0;
}
