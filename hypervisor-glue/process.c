// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/number.h"

/* proc_pid_stat(5): state is the third field and the first after the closing parenthesis. */
#define STAT_FIELD_PARENT  4
#define STAT_FIELD_FAULTS  10
#define STAT_FIELD_USER    14 /* and the kernel's time after it */
#define STAT_FIELD_STARTED 22

#define DELETED_SUFFIX " (deleted)"

static void comm_copy(const char *from, size_t length, char to[64])
{
	size_t i;

	for (i = 0; i < length && i < 63; i++)
		to[i] = (from[i] >= ' ' && from[i] <= '~') ? from[i] : '?';
	to[i] = '\0';
}

/* The decimal number of the field at *inout_text, which then points behind it. */
static int next_number(const char **inout_text, uint64_t *ret)
{
	const char *text = *inout_text + strspn(*inout_text, " ");
	const size_t length = strcspn(text, " \n");
	char digits[24];

	if (length >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, length);
	digits[length] = '\0';
	*inout_text = text + length;
	return number_parse_u64(digits, 10, ret) < 0 ? -EINVAL : 0;
}

static int skip_fields(const char **inout_text, int fields)
{
	const char *text = *inout_text;

	for (; fields > 0; fields--) {
		text += strspn(text, " ");
		if (!*text || *text == '\n')
			return -EINVAL;
		text += strcspn(text, " \n");
	}
	*inout_text = text;
	return 0;
}

int process_stat_parse(const char *text, struct process_stat *ret)
{
	const char *const open = strchr(text, '(');
	/* comm may hold any byte; nothing after it holds a parenthesis. */
	const char *const close = strrchr(text, ')');
	struct process_stat stat = { 0 };
	uint64_t parent, kernel_ticks;
	const char *at;

	if (!open || !close || close < open || close[1] != ' ' || !close[2] || close[3] != ' ')
		return -EINVAL;
	comm_copy(open + 1, (size_t)(close - open - 1), stat.comm);
	stat.state = close[2];
	if (!((stat.state >= 'A' && stat.state <= 'Z') || (stat.state >= 'a' && stat.state <= 'z')))
		return -EINVAL;
	at = close + 3;
	if (next_number(&at, &parent) < 0 || parent > INT_MAX)
		return -EINVAL;
	stat.parent = (pid_t)parent;
	if (skip_fields(&at, STAT_FIELD_FAULTS - STAT_FIELD_PARENT - 1) < 0 ||
		next_number(&at, &stat.minor_faults) < 0 ||
		skip_fields(&at, STAT_FIELD_USER - STAT_FIELD_FAULTS - 1) < 0)
		return -EINVAL;
	if (next_number(&at, &stat.cpu_ticks) < 0 || next_number(&at, &kernel_ticks) < 0 ||
		skip_fields(&at, STAT_FIELD_STARTED - STAT_FIELD_USER - 2) < 0)
		return -EINVAL;
	stat.cpu_ticks += kernel_ticks;
	if (next_number(&at, &stat.start_ticks) < 0)
		return -EINVAL;
	*ret = stat;
	return 0;
}

int process_stat_field(const char *text, int field, uint64_t *ret)
{
	const char *const close = strrchr(text, ')');
	const char *at;

	if (!close || field < STAT_FIELD_PARENT)
		return -EINVAL;
	at = close + 1;
	/* What follows the parenthesis is the third field. */
	if (skip_fields(&at, field - 3) < 0)
		return -EINVAL;
	return next_number(&at, ret);
}

int process_stat_read(const struct host_root *root, pid_t pid, struct process_stat *ret)
{
	_cleanup_free_ char *text = NULL;
	const int r = host_root_read_process(root, pid, "stat", &text, NULL);

	return r < 0 ? r : process_stat_parse(text, ret);
}

uint64_t process_age_ns(const struct process *process)
{
	const uint64_t tick_ns = UINT64_C(1000000000) / (uint64_t)sysconf(_SC_CLK_TCK);
	const uint64_t started_ns = process->id.start_ticks * tick_ns;
	struct timespec boot;
	uint64_t now_ns;

	(void)clock_gettime(CLOCK_BOOTTIME, &boot); /* fails for no clock that there is */
	now_ns = (uint64_t)boot.tv_sec * UINT64_C(1000000000) + (uint64_t)boot.tv_nsec;
	return now_ns > started_ns ? now_ns - started_ns : 0;
}

bool process_alive(const struct process *process)
{
	/* A pidfd becomes readable when the process has ended, a zombie included. */
	struct pollfd poll_fd = { .fd = process->pidfd, .events = POLLIN };
	int r;

	do
		r = poll(&poll_fd, 1, 0);
	while (r < 0 && errno == EINTR);
	return r == 0;
}

int process_open(const struct host_root *root, pid_t pid, struct process *ret)
{
	struct process process = { .id.pid = pid, .pidfd = -1 };
	struct process_stat stat;
	int r;

	process.pidfd = pidfd_open(pid, 0);
	if (process.pidfd < 0) /* EINVAL: no pid of a process; ENOENT: of a thread (6.9) */
		return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
	r = process_stat_read(root, pid, &stat);
	if (r == 0 && (stat.state == 'Z' || stat.state == 'X' || !process_alive(&process)))
		r = -ESRCH;
	if (r < 0) {
		process_done(&process);
		return r;
	}
	process.id.start_ticks = stat.start_ticks;
	*ret = process;
	return 0;
}

int process_open_id(const struct host_root *root, struct process_id id, struct process *ret)
{
	struct process process;
	const int r = process_open(root, id.pid, &process);

	if (r < 0)
		return r;
	if (!process_id_equal(process.id, id)) {
		process_done(&process);
		return -ESRCH;
	}
	*ret = process;
	return 0;
}

void process_done(struct process *process)
{
	close_fd(process->pidfd);
	process->pidfd = -1;
}

static int compare_pids(const void *a, const void *b)
{
	const struct process_inode *left = a, *right = b;

	return (left->pid > right->pid) - (left->pid < right->pid);
}

static int inodes_append(
	struct process_inode **list, size_t *count, size_t *capacity, struct process_inode process)
{
	if (*count == *capacity) {
		const size_t wanted = *capacity ? *capacity * 2 : 256;
		struct process_inode *const grown = reallocarray(*list, wanted, sizeof(**list));

		if (!grown)
			return -ENOMEM;
		*list = grown;
		*capacity = wanted;
	}
	(*list)[(*count)++] = process;
	return 0;
}

int process_inode_list(const struct host_root *root, struct process_inode **ret, size_t *ret_count)
{
	_cleanup_close_ int fd = openat(root->proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *directory = NULL;
	_cleanup_free_ struct process_inode *list = NULL;
	size_t count = 0, capacity = 0;

	if (fd < 0 || !(directory = fdopendir(fd)))
		return -errno;
	(void)steal_fd(&fd);
	for (;;) {
		const struct dirent *entry;
		uint64_t pid;

		errno = 0;
		entry = readdir(directory);
		if (!entry)
			break;
		if (number_parse_u64(entry->d_name, 10, &pid) < 0 || pid == 0 || pid > INT_MAX)
			continue;
		if (inodes_append(&list, &count, &capacity,
			    (struct process_inode){ (pid_t)pid, entry->d_ino }) < 0)
			return -ENOMEM;
	}
	if (errno)
		return -errno;
	if (count)
		qsort(list, count, sizeof(*list), compare_pids);
	*ret = steal_pointer(&list);
	*ret_count = count;
	return 0;
}

int process_list(const struct host_root *root, pid_t **ret_pids, size_t *ret_count)
{
	_cleanup_free_ struct process_inode *list = NULL;
	size_t count;
	pid_t *pids;
	const int r = process_inode_list(root, &list, &count);

	if (r < 0)
		return r;
	pids = calloc(count + 1, sizeof(*pids));
	if (!pids)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		pids[i] = list[i].pid;
	*ret_pids = pids;
	*ret_count = count;
	return 0;
}

int process_find_descriptor(const struct host_root *root, pid_t pid, const char *shown)
{
	_cleanup_closedir_ DIR *directory = NULL;
	const struct dirent *entry;
	int found = -ENOENT;
	int error;

	error = host_root_process_directory(root, pid, "fd", &directory);
	if (error)
		return error;
	while ((entry = readdir(directory))) {
		char target[64];
		uint64_t number;
		const ssize_t length =
			readlinkat(dirfd(directory), entry->d_name, target, sizeof(target));

		if (length != (ssize_t)strlen(shown) || memcmp(target, shown, (size_t)length) != 0 ||
			number_parse_u64(entry->d_name, 10, &number) < 0 || number > INT_MAX)
			continue;
		if (found < 0 || (int)number < found)
			found = (int)number;
	}
	return found;
}

int process_exe_read(const struct host_root *root, pid_t pid, char **ret_path)
{
	const size_t suffix = strlen(DELETED_SUFFIX);
	char path[64], target[PATH_MAX + sizeof(DELETED_SUFFIX)];
	ssize_t length;
	char *copy;

	(void)snprintf(path, sizeof(path), "%d/exe", pid);
	length = readlinkat(root->proc_fd, path, target, sizeof(target));
	if (length < 0)
		return host_root_process_error(root, pid, -errno);
	if ((size_t)length >= sizeof(target))
		return -ENAMETOOLONG;
	if ((size_t)length > suffix && !memcmp(target + length - suffix, DELETED_SUFFIX, suffix))
		length -= (ssize_t)suffix;
	copy = strndup(target, (size_t)length);
	if (!copy)
		return -ENOMEM;
	*ret_path = copy;
	return 0;
}
