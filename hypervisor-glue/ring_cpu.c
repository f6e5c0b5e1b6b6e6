// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/ring_cpu.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

void ring_cpu_init(struct ring_cpu *cpu, pid_t pid, pid_t poll_tid)
{
	*cpu = (struct ring_cpu){ .pid = pid, .poll.tid = poll_tid };
}

static int thread_file_read(
	const struct host_root *root, pid_t pid, pid_t tid, const char *name, char **ret_text)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%d/task/%d/%s", pid, tid, name);
	return host_root_read_proc(root, path, ret_text, NULL);
}

/* The first number of schedstat: nanoseconds on a CPU. */
static bool thread_cpu_read(
	const struct host_root *root, pid_t pid, pid_t tid, uint64_t *ret_cpu_ns)
{
	_cleanup_free_ char *text = NULL;

	return !thread_file_read(root, pid, tid, "schedstat", &text) &&
	       sscanf(text, "%" SCNu64, ret_cpu_ns) == 1;
}

static bool thread_is_worker(const struct ring_cpu *cpu, const struct host_root *root, pid_t tid)
{
	_cleanup_free_ char *comm = NULL;
	int served;

	return !thread_file_read(root, cpu->pid, tid, "comm", &comm) &&
	       sscanf(comm, "iou-wrk-%d", &served) == 1 && served == cpu->poll.tid;
}

/* 0: there is none just now. */
static pid_t worker_find(const struct ring_cpu *cpu, const struct host_root *root)
{
	_cleanup_closedir_ DIR *directory = NULL;
	const struct dirent *entry;
	char path[32];
	int fd;

	(void)snprintf(path, sizeof(path), "%d/task", cpu->pid);
	fd = openat(root->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	directory = fd < 0 ? NULL : fdopendir(fd);
	if (!directory) {
		close_fd(fd);
		return 0;
	}
	while ((entry = readdir(directory))) {
		const pid_t tid = atoi(entry->d_name); /* "." and ".." are 0 */

		if (tid > 0 && thread_is_worker(cpu, root, tid))
			return tid;
	}
	return 0;
}

/* False: it is gone. A lower time than before means another thread under the same number. */
static bool thread_sample(
	struct ring_thread *thread, const struct ring_cpu *cpu, const struct host_root *root)
{
	uint64_t cpu_ns;

	if (!thread_cpu_read(root, cpu->pid, thread->tid, &cpu_ns) || cpu_ns < thread->cpu_ns)
		return false;
	thread->cpu_ns = cpu_ns;
	return true;
}

void ring_cpu_sample(struct ring_cpu *cpu, const struct host_root *root)
{
	(void)thread_sample(&cpu->poll, cpu, root);
	if (cpu->worker.tid && thread_is_worker(cpu, root, cpu->worker.tid) &&
		thread_sample(&cpu->worker, cpu, root))
		return;
	cpu->ended_ns += cpu->worker.cpu_ns;
	cpu->worker = (struct ring_thread){ .tid = worker_find(cpu, root) };
	if (cpu->worker.tid)
		(void)thread_sample(&cpu->worker, cpu, root);
}

uint64_t ring_cpu_total_ns(const struct ring_cpu *cpu)
{
	return cpu->poll.cpu_ns + cpu->worker.cpu_ns + cpu->ended_ns;
}
