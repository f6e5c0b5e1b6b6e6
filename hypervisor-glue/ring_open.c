// SPDX-License-Identifier: GPL-2.0-or-later
/* ring_queue.h: taking a ring over. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "hypervisor-glue/ring_queue.h"

/* Indices and 128 completions take less than a page. What a lie beyond that would make us map is not
 * backed (SIGBUS); within it, everything is. */
#define MAX_RING_BYTES 4096

/* PROC_PID_INIT_INO in include/linux/proc_ns.h. */
#define HOSTS_PID_NAMESPACE "pid:[4026531836]"

static bool offset_valid(uint32_t offset, uint64_t ring_bytes)
{
	return offset % sizeof(uint32_t) == 0 && offset + sizeof(uint32_t) <= ring_bytes;
}

/* liburing computes its pointers from these, and they come out of the target's memory. */
static bool params_valid(const struct io_uring_params *params)
{
	const struct io_sqring_offsets *sq = &params->sq_off;
	const struct io_cqring_offsets *cq = &params->cq_off;
	const uint64_t sq_bytes = sq->array + (uint64_t)ATTACH_RING_ENTRIES * sizeof(unsigned int);
	const uint64_t cq_bytes =
		cq->cqes + (uint64_t)params->cq_entries * sizeof(struct io_uring_cqe);
	/* One mapping holds both where the kernel says so; checked as if each were alone. */
	const uint32_t sq_offsets[] = { sq->head, sq->tail, sq->ring_mask, sq->ring_entries,
		sq->flags, sq->dropped, sq->array };
	const uint32_t cq_offsets[] = { cq->head, cq->tail, cq->ring_mask, cq->ring_entries,
		cq->overflow, cq->flags };

	if (params->flags != ATTACH_RING_FLAGS || params->sq_entries != ATTACH_RING_ENTRIES ||
		params->cq_entries != 2 * ATTACH_RING_ENTRIES ||
		!(params->features & IORING_FEAT_SINGLE_MMAP) ||
		!(params->features & IORING_FEAT_NODROP) || sq_bytes > MAX_RING_BYTES ||
		cq_bytes > MAX_RING_BYTES || cq->cqes % sizeof(uint64_t))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(sq_offsets); i++)
		if (!offset_valid(sq_offsets[i], sq_bytes))
			return false;
	for (size_t i = 0; i < ARRAY_SIZE(cq_offsets); i++)
		if (!offset_valid(cq_offsets[i], cq_bytes))
			return false;
	return true;
}

/* On a host that is busy, too, it has had its turn by then. */
#define POLL_THREAD_PATIENCE_MS 2000

/* The thread that serves the ring, from the kernel's own account of it; 0: not known just now. */
static pid_t poll_thread_read(const struct host_root *root, int fd)
{
	_cleanup_free_ char *text = NULL;
	const char *line;
	char path[64];
	int tid;

	(void)snprintf(path, sizeof(path), "self/fdinfo/%d", fd);
	if (host_root_read_proc(root, path, &text, NULL) < 0)
		return 0;
	line = strstr(text, "SqThread:");
	return line && sscanf(line, "SqThread: %d", &tid) == 1 && tid > 0 ? tid : 0;
}

/* That thread has begun to run: it is called so then, and not as its maker is. */
static bool poll_thread_runs(const struct host_root *root, pid_t pid, pid_t tid)
{
	_cleanup_free_ char *comm = NULL;
	char path[64];

	(void)snprintf(path, sizeof(path), "%d/task/%d/comm", pid, tid);
	return host_root_read_proc(root, path, &comm, NULL) == 0 && !strncmp(comm, "iou-sqp-", 8);
}

/*
 * Only a ring that a thread of this very process serves works on this process's memory. Any other
 * could be one that the target slipped in, to have its requests carried out on somebody else's.
 *
 * Until the thread first runs, the kernel gives the number of its maker (io_sq_offload_create() and
 * io_sq_thread() in io_uring/sqpoll.c), whose CPU time is not the ring's. Before 6.7 the thread's own
 * lock may hide its number for a moment, too.
 */
static pid_t poll_thread_check(const struct host_root *root, pid_t pid, int fd)
{
	for (int tries = 0; tries < POLL_THREAD_PATIENCE_MS; tries++) {
		const pid_t tid = poll_thread_read(root, fd);

		if (tid && poll_thread_runs(root, pid, tid))
			return tid;
		(void)poll(NULL, 0, 1);
	}
	return 0;
}

/* In this order: nothing but the restriction stands when the ring is enabled. liburing 2.3 declares
 * functions for the last two, but its shared library does not export them. */
static int restrict_ring(const struct io_uring *ring)
{
	struct io_uring_restriction only_madvise = { .opcode = IORING_RESTRICTION_SQE_OP,
		.sqe_op = IORING_OP_MADVISE };
	unsigned int workers[] = { 1, 1 }; /* one at a time: in order, and one core at the most */
	const unsigned int fd = (unsigned int)ring->ring_fd;
	int error = io_uring_register(fd, IORING_REGISTER_IOWQ_MAX_WORKERS, workers, 2);

	if (error >= 0)
		error = io_uring_register(fd, IORING_REGISTER_RESTRICTIONS, &only_madvise, 1);
	if (error >= 0)
		error = io_uring_register(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	return error < 0 ? error : 0;
}

/* liburing has read these out of memory that the target may have mapped. */
static bool ring_sane(const struct io_uring *ring)
{
	return ring->sq.ring_mask == ATTACH_RING_ENTRIES - 1 &&
	       ring->sq.ring_entries == ATTACH_RING_ENTRIES &&
	       ring->cq.ring_mask == 2 * ATTACH_RING_ENTRIES - 1 &&
	       ring->cq.ring_entries == 2 * ATTACH_RING_ENTRIES;
}

/* What io_uring_queue_init() does and, in liburing 2.3 and later, io_uring_queue_mmap() does not:
 * without it every request is the first one again. */
static void fill_indices(struct io_uring *ring)
{
	for (unsigned int i = 0; i < ring->sq.ring_entries; i++)
		ring->sq.array[i] = i;
}

static int take_over(const struct host_root *root, pid_t pid, const struct ring_grant *grant,
	struct ring_queue *queue)
{
	_cleanup_close_ int fd = grant->fd;
	struct io_uring_params params = grant->params;
	int error;

	queue->poll_tid = poll_thread_check(root, pid, fd);
	if (!queue->poll_tid || !params_valid(&params))
		return -EPROTO;
	error = io_uring_queue_mmap(fd, &params, &queue->ring);
	if (error < 0)
		return error;
	(void)steal_fd(&fd); /* io_uring_queue_exit() closes it */
	error = ring_sane(&queue->ring) ? restrict_ring(&queue->ring) : -EPROTO;
	if (error)
		io_uring_queue_exit(&queue->ring);
	else
		fill_indices(&queue->ring);
	return error;
}

/* The kernel's account of a ring has the numbers of threads as the host's namespace counts them. */
static bool in_hosts_pid_namespace(const struct host_root *root)
{
	char target[32];
	const ssize_t length =
		readlinkat(root->proc_fd, "self/ns/pid", target, sizeof(target) - 1);

	if (length < 0)
		return true;
	target[length] = '\0';
	return strcmp(target, HOSTS_PID_NAMESPACE) == 0;
}

int ring_queue_open(const struct host_root *root, const struct process *process,
	const struct ring_grant *grant, struct ring_queue *ret, char reason[HOOK_REASON_BYTES])
{
	struct ring_queue queue = { 0 };
	int error = take_over(root, process->id.pid, grant, &queue);

	if (!error) {
		queue.pidfd = fcntl(process->pidfd, F_DUPFD_CLOEXEC, 0);
		if (queue.pidfd >= 0) {
			*ret = queue;
			return 0;
		}
		error = -errno;
		io_uring_queue_exit(&queue.ring);
	}
	if (!process_alive(process))
		error = -ESRCH;
	if (error == -EPROTO && !in_hosts_pid_namespace(root)) {
		(void)snprintf(reason, HOOK_REASON_BYTES,
			"the ring of process %d cannot be told from another one's in the PID namespace that "
			"pagefoldd runs in: run it in the host's", process->id.pid);
		return -ENOTSUP;
	}
	(void)snprintf(reason, HOOK_REASON_BYTES,
		"the ring of process %d could not be taken over (%s): %s", process->id.pid,
		strerror(-error),
		error == -EPROTO ? "it is not the one that was made, do not trust this process"
				 : "it is tried again later");
	return error;
}

void ring_queue_done(struct ring_queue *queue)
{
	io_uring_queue_exit(&queue->ring);
	close_fd(queue->pidfd);
	queue->pidfd = -1;
}
