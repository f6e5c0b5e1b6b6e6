// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/numa.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/number.h"

#define NODE_DIRECTORY "devices/system/node"

/* Of one call: their addresses and answers are on the stack. */
#define PAGES_MOST ((size_t)512)

/* ---- nodes ---- */

/* "node12": 12. False: another name. */
static bool is_numbered(const char *name, const char *kind, uint64_t *ret)
{
	const size_t length = strlen(kind);

	return !strncmp(name, kind, length) && number_parse_u64(name + length, 10, ret) == 0;
}

static int directory_open(int at, const char *path, DIR **ret)
{
	_cleanup_close_ int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || !(*ret = fdopendir(fd)))
		return -errno;
	(void)steal_fd(&fd);
	return 0;
}

/* Beside what else is known of a node there is a link for each CPU of it. */
static int cpus_read(DIR *nodes, const char *name, cpu_set_t *ret)
{
	_cleanup_closedir_ DIR *node = NULL;
	const struct dirent *entry;
	uint64_t number;
	int error;

	CPU_ZERO(ret);
	error = directory_open(dirfd(nodes), name, &node);
	if (error)
		return error;
	while ((errno = 0, entry = readdir(node)))
		if (is_numbered(entry->d_name, "cpu", &number) && number < CPU_SETSIZE)
			CPU_SET(number, ret);
	return -errno;
}

static int node_add(struct numa_nodes *nodes, DIR *directory, const char *name, unsigned number)
{
	struct numa_node *grown = reallocarray(nodes->nodes, nodes->count + 1, sizeof(*grown));
	int error;

	if (!grown)
		return -ENOMEM;
	nodes->nodes = grown;
	grown[nodes->count].number = number;
	error = cpus_read(directory, name, &grown[nodes->count].cpus);
	if (error == -ENOENT) /* taken out just now */
		return 0;
	nodes->count += !error;
	return error;
}

static int compare_nodes(const void *a, const void *b)
{
	const struct numa_node *one = a, *other = b;

	return (one->number > other->number) - (one->number < other->number);
}

int numa_nodes_read(const struct host_root *root, struct numa_nodes *ret)
{
	_cleanup_(numa_nodes_done) struct numa_nodes nodes = { 0 };
	_cleanup_closedir_ DIR *directory = NULL;
	const struct dirent *entry;
	uint64_t number;
	int error;

	*ret = nodes;
	error = directory_open(root->sys_fd, NODE_DIRECTORY, &directory);
	if (error)
		return error == -ENOENT ? 0 : error;
	while ((errno = 0, entry = readdir(directory))) {
		if (!is_numbered(entry->d_name, "node", &number) || number >= NUMA_NO_NODE)
			continue;
		error = node_add(&nodes, directory, entry->d_name, (unsigned)number);
		if (error)
			return error;
	}
	if (errno)
		return -errno;
	if (nodes.count)
		qsort(nodes.nodes, nodes.count, sizeof(*nodes.nodes), compare_nodes);
	*ret = nodes;
	nodes = (struct numa_nodes){ 0 };
	return 0;
}

void numa_nodes_done(struct numa_nodes *nodes)
{
	free(nodes->nodes);
	*nodes = (struct numa_nodes){ 0 };
}

/* ---- pages ---- */

int numa_page_nodes(pid_t pid, const uint64_t *addresses, size_t count, uint16_t *ret)
{
	while (count) {
		const size_t piece = count < PAGES_MOST ? count : PAGES_MOST;
		void *pages[PAGES_MOST];
		int status[PAGES_MOST];

		for (size_t i = 0; i < piece; i++)
			pages[i] = (void *)(uintptr_t)addresses[i]; /* never followed here */
		if (syscall(SYS_move_pages, pid, piece, pages, NULL, status, 0) < 0)
			return -errno;
		for (size_t i = 0; i < piece; i++)
			ret[i] = status[i] >= 0 && status[i] < NUMA_NO_NODE ? (uint16_t)status[i]
									    : NUMA_NO_NODE;
		addresses += piece;
		ret += piece;
		count -= piece;
	}
	return 0;
}
