// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/process_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/process.h"
#include "hypervisor-glue/vmm.h"

/* What no process has: procfs says 1 where it could not make the inode (proc_fill_cache() there). */
#define INODE_UNKNOWN 1

#define OLD_NS (PROCESS_TABLE_OLD_S * NS_PER_S)

void process_table_done(struct process_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->entries[i].exe);
	free(table->entries);
	*table = (struct process_table){ 0 };
}

/* NULL where it has none, or none that can be read. 0 or what we lack ourselves. */
static int exe_read(const struct host_root *root, pid_t pid, char **ret)
{
	const int r = process_exe_read(root, pid, ret);

	if (r < 0)
		*ret = NULL;
	return process_error_is_ours(r) ? r : 0;
}

static bool is_due(const struct process_entry *known, uint64_t now_ns)
{
	const uint64_t known_for_ns = known->looked_ns - known->first_ns;

	return now_ns - known->looked_ns >= (known_for_ns < OLD_NS ? known_for_ns : OLD_NS);
}

/* A kernel thread never becomes a program; what the kernel starts as one is a child of a worker. */
static bool is_kernel_thread(const struct process_entry *known)
{
	return !known->exe && (known->pid == KTHREADD_PID || known->parent == KTHREADD_PID);
}

static bool is_same_program(const char *exe, const char *other)
{
	return exe && other ? !strcmp(exe, other) : exe == other;
}

/* 1: nothing that can be seen has changed; 0: it is to be looked at; or what we lack ourselves. */
static int is_as_it_was(const struct host_root *root, const struct process_inode *seen,
	const struct process_entry *known, uint64_t now_ns)
{
	_cleanup_free_ char *exe = NULL;
	int r;

	if (seen->inode == INODE_UNKNOWN || seen->inode != known->inode || is_due(known, now_ns))
		return 0;
	if (is_kernel_thread(known))
		return 1;
	r = exe_read(root, seen->pid, &exe);
	if (r < 0)
		return r;
	return is_same_program(exe, known->exe);
}

/* 0, -ESRCH: gone; or what we lack ourselves. */
static int look(const struct host_root *root, const struct process_inode *seen, struct process_entry *ret)
{
	_cleanup_free_ char *exe = NULL;
	struct process_stat stat;
	struct vmm vmm;
	bool is_vmm;
	int r;

	/* First: if it executes another program meanwhile, the next look finds this one out of date. */
	r = exe_read(root, seen->pid, &exe);
	if (r < 0)
		return r;
	r = process_stat_read(root, seen->pid, &stat);
	if (r < 0)
		return process_error_is_ours(r) ? r : -ESRCH;
	r = vmm_read(root, seen->pid, &vmm, &is_vmm);
	if (process_error_is_ours(r) || r == -ESRCH)
		return r;
	*ret = (struct process_entry){
		.pid = seen->pid,
		.parent = stat.parent,
		.exe = steal_pointer(&exe),
		.is_vmm = r == 0 && is_vmm,
		.inode = r == 0 ? seen->inode : INODE_UNKNOWN, /* asked again next time */
	};
	memcpy(ret->comm, stat.comm, sizeof(ret->comm));
	return 0;
}

/* The one with that pid or a higher one, from *inout_next on. */
static struct process_entry *known_at(const struct process_table *table, size_t *inout_next, pid_t pid)
{
	while (*inout_next < table->count && table->entries[*inout_next].pid < pid)
		(*inout_next)++;
	return *inout_next < table->count && table->entries[*inout_next].pid == pid
		? &table->entries[*inout_next]
		: NULL;
}

/* *known may be NULL; what is kept of it moves to *ret. As look(). */
static int entry_refresh(const struct host_root *root, const struct process_inode *seen,
	struct process_entry *known, uint64_t now_ns, struct process_entry *ret)
{
	int r = known ? is_as_it_was(root, seen, known, now_ns) : 0;

	if (r < 0)
		return r;
	if (r > 0) {
		*ret = *known;
		known->exe = NULL;
		return 0;
	}
	r = look(root, seen, ret);
	if (r < 0)
		return r;
	ret->looked_ns = now_ns;
	ret->first_ns = known && known->inode == ret->inode && is_same_program(known->exe, ret->exe)
		? known->first_ns
		: now_ns; /* and another program is new */
	return 0;
}

int process_table_refresh(const struct host_root *root, uint64_t now_ns, struct process_table *table)
{
	_cleanup_(process_table_done) struct process_table fresh = { 0 };
	_cleanup_free_ struct process_inode *seen = NULL;
	size_t count = 0, next = 0;
	int r;

	r = process_inode_list(root, &seen, &count);
	if (r == 0 && !(fresh.entries = calloc(count + 1, sizeof(*fresh.entries))))
		r = -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++) {
		r = entry_refresh(root, &seen[i], known_at(table, &next, seen[i].pid), now_ns,
			&fresh.entries[fresh.count]);
		if (r == 0)
			fresh.count++;
		else if (r == -ESRCH)
			r = 0;
	}
	process_table_done(table);
	if (r < 0)
		return r;
	*table = fresh;
	fresh = (struct process_table){ 0 };
	return 0;
}
