// SPDX-License-Identifier: GPL-2.0-or-later
/* ring_queue.h: requests in, answers out. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/attach/attach_protocol.h"
#include "hypervisor-glue/ring_queue.h"

/* <linux/mman.h>, which cannot be included beside <sys/mman.h>. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* A request's length has 32 bits. */
#define MAX_PIECE_BYTES (UINT64_C(1) << 30)
#define PAGE_BYTES      UINT64_C(4096)

/* Which piece of work goes in next, and what has not come back. */
struct progress {
	struct advice_request *requests;
	size_t count, next;
	uint64_t next_offset; /* into requests[next] */
	unsigned int in_flight;
};

#define LAST_PIECE UINT64_C(1) /* in user_data, above it the request's index */

/*
 * The one place where a request for another process is built. Nothing but these six can be asked
 * for: the ring itself would take MADV_DONTNEED too, which destroys memory.
 */
static void request_build(struct io_uring_sqe *sqe, enum advice advice, uint64_t start,
	uint32_t length, uint64_t user_data)
{
	static const uint8_t madvise_of[] = {
		[ADVICE_MERGEABLE] = MADV_MERGEABLE,
		[ADVICE_UNMERGEABLE] = MADV_UNMERGEABLE,
		[ADVICE_HUGEPAGE] = MADV_HUGEPAGE,
		[ADVICE_NOHUGEPAGE] = MADV_NOHUGEPAGE,
		[ADVICE_COLLAPSE] = MADV_COLLAPSE,
		[ADVICE_COLD] = MADV_COLD,
	};

	*sqe = (struct io_uring_sqe){ .opcode = IORING_OP_MADVISE,
		.fd = -1,
		.addr = start,
		.len = length,
		.fadvise_advice = madvise_of[advice],
		.user_data = user_data };
}

static bool request_valid(const struct advice_request *request)
{
	return (unsigned int)request->advice <= ADVICE_COLD && request->length &&
	       request->start % PAGE_BYTES == 0 && request->length % PAGE_BYTES == 0 &&
	       request->start <= UINT64_MAX - request->length;
}

/* Fills the submission queue as far as it goes. */
static void progress_fill(struct progress *progress, struct io_uring *ring)
{
	while (progress->next < progress->count && progress->in_flight < ATTACH_RING_ENTRIES) {
		struct advice_request *request = &progress->requests[progress->next];
		uint64_t left, piece, user_data = (uint64_t)progress->next << 1;
		struct io_uring_sqe *sqe;

		if (!request_valid(request)) {
			request->ret_result = -EINVAL;
			progress->next++;
			continue;
		}
		sqe = io_uring_get_sqe(ring);
		if (!sqe)
			return; /* the kernel has not taken the last ones yet */
		left = request->length - progress->next_offset;
		piece = left < MAX_PIECE_BYTES ? left : MAX_PIECE_BYTES;
		if (piece == left)
			user_data |= LAST_PIECE;
		request_build(sqe, request->advice, request->start + progress->next_offset,
			(uint32_t)piece, user_data);
		progress->in_flight++;
		progress->next_offset += piece;
		if (piece == left) {
			progress->next++;
			progress->next_offset = 0;
		}
	}
}

/* -EPROTO: an answer to a question that was not asked; the target writes in the ring. */
static int progress_take(struct progress *progress, const struct io_uring_cqe *cqe)
{
	const uint64_t index = cqe->user_data >> 1;
	struct advice_request *request;

	if (index >= progress->count || !progress->in_flight)
		return -EPROTO;
	request = &progress->requests[index];
	progress->in_flight--;
	if (cqe->res < 0)
		request->ret_result = cqe->res;
	else if ((cqe->user_data & LAST_PIECE) && request->ret_result == -EINPROGRESS)
		request->ret_result = 0;
	return 0;
}

static int progress_reap(struct progress *progress, struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int error = 0;

	while (!error && progress->in_flight && !io_uring_peek_cqe(ring, &cqe)) {
		error = progress_take(progress, cqe);
		io_uring_cqe_seen(ring, cqe);
	}
	return error;
}

/* Until there are answers, the process has ended (-ESRCH) or the time is up (-ETIMEDOUT). */
static int wait_answers(struct ring_queue *queue, uint64_t deadline_ns)
{
	struct pollfd fds[] = { { .fd = queue->ring.ring_fd, .events = POLLIN },
		{ .fd = queue->pidfd, .events = POLLIN } };

	for (;;) {
		const uint64_t now = clock_monotonic_ns();
		const uint64_t left_ns = deadline_ns > now ? deadline_ns - now : 0;
		const struct timespec timeout = { .tv_sec = (time_t)(left_ns / NS_PER_S),
			.tv_nsec = (long)(left_ns % NS_PER_S) };
		int ready;

		/* Asked first: a target that writes in the ring could make it readable for ever. */
		if (!left_ns)
			return -ETIMEDOUT;
		ready = ppoll(fds, ARRAY_SIZE(fds), &timeout, NULL);
		if (ready < 0 && errno != EINTR)
			return -errno;
		if (ready > 0 && fds[1].revents)
			return -ESRCH;
		if (ready > 0)
			return 0;
	}
}

/* The kernel says -EOWNERDEAD once the polling thread is gone: the process ended, or became another
 * program by execve(), whose memory this ring does not reach. */
static int submit(struct io_uring *ring)
{
	const int submitted = io_uring_submit(ring);

	if (submitted == -EOWNERDEAD)
		return -ESRCH;
	return submitted == -EINTR || submitted > 0 ? 0 : submitted;
}

int ring_queue_advise(struct ring_queue *queue, struct advice_request *requests, size_t count,
	uint64_t deadline_ns)
{
	struct progress progress = { .requests = requests, .count = count };
	int error = 0, reaped;

	for (size_t i = 0; i < count; i++)
		requests[i].ret_result = -EINPROGRESS;
	while (!error && (progress.next < count || progress.in_flight)) {
		progress_fill(&progress, &queue->ring);
		if (!progress.in_flight)
			break; /* what was left was invalid */
		error = submit(&queue->ring);
		if (!error)
			error = wait_answers(queue, deadline_ns);
		reaped = progress_reap(&progress, &queue->ring);
		error = reaped ? reaped : error;
	}
	if (error == -ETIMEDOUT && progress.next == count && !progress.in_flight)
		return 0; /* just in time */
	return error;
}
