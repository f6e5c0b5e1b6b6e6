// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/vcpu.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/number.h"
#include "hypervisor-glue/process.h"

/* proc_pid_stat(5) */
#define STAT_FIELD_USER   14
#define STAT_FIELD_SYSTEM 15
#define STAT_FIELD_GUEST  43

/* A virtual CPU is set up, reset and given its state without running: some milliseconds. One that
 * runs an idle guest under translation takes longer than this within seconds. */
#define RUN_LEAST_MS 200

struct looked {
	bool named;         /* some thread is a virtual CPU by its name */
	uint64_t cpu_ticks; /* of the one that has taken most */
};

/* QEMU's names (qemu_thread_create() in accel/): "CPU 0/KVM", "CPU 0/TCG", "ALL CPUs/TCG". */
static bool is_vcpu_name(const char *comm)
{
	return !strncmp(comm, "CPU ", 4) || !strncmp(comm, "ALL CPUs/", 9);
}

static void thread_look(const char *text, struct looked *looked)
{
	struct process_stat stat;
	uint64_t user, system;

	if (process_stat_parse(text, &stat) < 0 || !is_vcpu_name(stat.comm) ||
		process_stat_field(text, STAT_FIELD_USER, &user) < 0 ||
		process_stat_field(text, STAT_FIELD_SYSTEM, &system) < 0)
		return;
	looked->named = true;
	if (user + system > looked->cpu_ticks)
		looked->cpu_ticks = user + system;
}

static int threads_look(const struct host_root *root, pid_t pid, struct looked *ret)
{
	_cleanup_closedir_ DIR *directory = NULL;
	struct looked looked = { 0 };
	const struct dirent *entry;
	char path[64];
	int error;

	error = host_root_process_directory(root, pid, "task", &directory);
	if (error)
		return error;
	while ((entry = readdir(directory))) {
		_cleanup_free_ char *text = NULL;
		uint64_t tid;

		if (number_parse_u64(entry->d_name, 10, &tid) < 0 || tid == 0 || tid > INT_MAX)
			continue;
		(void)snprintf(path, sizeof(path), "%d/task/%d/stat", pid, (int)tid);
		if (host_root_read_proc(root, path, &text, NULL) == 0)
			thread_look(text, &looked);
	}
	*ret = looked;
	return 0;
}

int vcpu_past_read(const struct host_root *root, pid_t pid, enum vcpu_past *ret)
{
	const uint64_t ticks_per_s = (uint64_t)sysconf(_SC_CLK_TCK);
	_cleanup_free_ char *text = NULL;
	struct looked looked = { 0 };
	uint64_t guest_ticks;
	int r;

	r = host_root_read_process(root, pid, "stat", &text, NULL);
	if (r < 0)
		return r;
	if (process_stat_field(text, STAT_FIELD_GUEST, &guest_ticks) == 0 && guest_ticks > 0) {
		*ret = VCPU_PAST_RUN;
		return 0;
	}
	r = threads_look(root, pid, &looked);
	if (r < 0)
		return r;
	*ret = !looked.named                                           ? VCPU_PAST_UNKNOWN
	       : looked.cpu_ticks * 1000 >= RUN_LEAST_MS * ticks_per_s ? VCPU_PAST_RUN
								       : VCPU_PAST_IDLE;
	return 0;
}
