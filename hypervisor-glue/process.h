/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process that stays the same process: a pid alone can be recycled, a pid with its start time
 * cannot, and a pidfd never leads to another one.
 */
#ifndef PAGEFOLD_GLUE_PROCESS_H
#define PAGEFOLD_GLUE_PROCESS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "hypervisor-glue/host_root.h"

#define KTHREADD_PID 2 /* the parent of all kernel threads */

struct process_id {
	pid_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat: clock ticks since boot */
};

struct process {
	struct process_id id;
	int pidfd;
};

struct process_stat {
	char comm[64]; /* bytes outside printable ASCII replaced by '?' */
	char state;    /* R S D T t Z X I */
	pid_t parent;
	uint64_t minor_faults; /* of all its threads, ever */
	uint64_t cpu_ticks;    /* likewise, of 1/sysconf(_SC_CLK_TCK) s: its own, the kernel's for it, and its guests' */
	uint64_t start_ticks;
};

/* The text of /proc/PID/stat; comm may hold blanks, parentheses and newlines. 0 or -EINVAL. */
int process_stat_parse(const char *text, struct process_stat *ret);
int process_stat_read(const struct host_root *root, pid_t pid, struct process_stat *ret);
/* The number that is field 4 or later in such a text, as proc_pid_stat(5) counts them. 0 or -EINVAL. */
int process_stat_field(const char *text, int field, uint64_t *ret);

/* Opens the pidfd first and reads the start time after, then makes sure that the process has not
 * died in between. -ESRCH: gone (or a zombie). */
int process_open(const struct host_root *root, pid_t pid, struct process *ret);
/* The same, and -ESRCH if the process found is not the one with this start time. */
int process_open_id(const struct host_root *root, struct process_id id, struct process *ret);
void process_done(struct process *process);

/* False once it has ended. What was read from /proc/PID/... or its memory is this process's if it
 * is alive *after* the read. */
bool process_alive(const struct process *process);

/* How long ago it started. */
uint64_t process_age_ns(const struct process *process);

/* Every pid in /proc, ascending, in memory the caller frees. */
int process_list(const struct host_root *root, pid_t **ret_pids, size_t *ret_count);
/* The same with the inode number of each one's directory, as readdir(3) gives it. */
struct process_inode {
	pid_t pid;
	ino_t inode;
};
int process_inode_list(const struct host_root *root, struct process_inode **ret, size_t *ret_count);

/* Its lowest descriptor that /proc/PID/fd shows as that text; -ENOENT: it has none, -ESRCH, -errno. */
int process_find_descriptor(const struct host_root *root, pid_t pid, const char *shown);

/* The executable's path without " (deleted)"; the caller frees it. */
int process_exe_read(const struct host_root *root, pid_t pid, char **ret_path);

/* Of what was asked about one process: what we lack ourselves. Anything else is that process's doing (gone, an
 * endless path or command line), and must not hide the others. */
static inline bool process_error_is_ours(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

static inline bool process_id_equal(struct process_id a, struct process_id b)
{
	return a.pid == b.pid && a.start_ticks == b.start_ticks;
}

#endif
