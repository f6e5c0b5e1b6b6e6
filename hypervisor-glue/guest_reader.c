// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/guest_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/cleanup.h"

#define PAGE_BYTES PAGEMAP_PAGE_BYTES

/* How far a read has come: at page offset_bytes of runs[run]. */
struct position {
	const struct page_run *runs;
	size_t run_count;
	size_t run;
	uint64_t offset_bytes;
	char *buffer;
	uint8_t *present;
};

static void position_advance(struct position *position, uint64_t pages, uint8_t present)
{
	memset(position->present, present, pages);
	position->present += pages;
	position->buffer += pages * PAGE_BYTES;
	position->offset_bytes += pages * PAGE_BYTES;
	while (position->run < position->run_count) {
		const struct page_run *const run = &position->runs[position->run];

		if (position->offset_bytes < run->end - run->start)
			break;
		position->offset_bytes -= run->end - run->start;
		position->run++;
	}
}

/* What lies ahead, as remote vectors; returns their bytes together. */
static size_t position_vectors(
	const struct position *position, struct iovec vectors[IOV_MAX], size_t *ret_count)
{
	uint64_t offset = position->offset_bytes;
	size_t count = 0, bytes = 0;

	for (size_t i = position->run; i < position->run_count && count < IOV_MAX; i++) {
		const struct page_run *const run = &position->runs[i];
		const size_t length = run->end - run->start - offset;

		vectors[count++] = (struct iovec){
			.iov_base = (void *)(uintptr_t)(run->start + offset),
			.iov_len = length,
		};
		bytes += length;
		offset = 0;
	}
	*ret_count = count;
	return bytes;
}

static ssize_t read_vectors(const struct process *process, void *buffer, size_t bytes,
	const struct iovec *remote, size_t remote_count)
{
	const struct iovec local = { .iov_base = buffer, .iov_len = bytes };
	const ssize_t got = process_vm_readv(process->id.pid, &local, 1, remote, remote_count, 0);

	return got < 0 ? -errno : got;
}

/* One page alone: gone, or readable after all. */
static int read_page(const struct process *process, struct position *position)
{
	const struct iovec remote = {
		.iov_base = (void *)(uintptr_t)(position->runs[position->run].start +
						position->offset_bytes),
		.iov_len = PAGE_BYTES,
	};
	const ssize_t got = read_vectors(process, position->buffer, PAGE_BYTES, &remote, 1);

	if (got < 0 && got != -EFAULT)
		return (int)got;
	position_advance(position, 1, got == (ssize_t)PAGE_BYTES);
	return 0;
}

/*
 * One call. The kernel ends it short at a page it cannot read (and at 2 GiB), so the next call
 * begins with that page and gets EFAULT. process_vm_readv(2) does not promise that it goes as far
 * as the page in between, so the first page of what failed is tried alone before it is given up.
 */
static int read_step(const struct process *process, struct position *position)
{
	struct iovec remote[IOV_MAX];
	size_t count;
	const size_t bytes = position_vectors(position, remote, &count);
	const ssize_t got = read_vectors(process, position->buffer, bytes, remote, count);

	if (got == -EFAULT || (got >= 0 && (size_t)got < PAGE_BYTES))
		return read_page(process, position);
	if (got < 0)
		return (int)got;
	position_advance(position, (uint64_t)got / PAGE_BYTES, 1);
	return 0;
}

int guest_reader_read(const struct process *process, const struct page_run *runs, size_t run_count,
	void *buffer, uint8_t *present)
{
	struct position position = {
		.runs = runs,
		.run_count = run_count,
		.buffer = buffer,
		.present = present,
	};

	position_advance(&position, 0, 0); /* over empty runs at the front */
	while (position.run < run_count) {
		const int r = read_step(process, &position);

		if (r < 0)
			return r;
	}
	/* Its pid may have become another process's in the middle; it has not if it still lives. */
	return process_alive(process) ? 0 : -ESRCH;
}

/* A page that cannot be read is absent; the read goes on behind it. */
static int run_read_shared(int mem_fd, const struct page_run *run, char *buffer, uint8_t *present)
{
	const uint64_t pages = (run->end - run->start) / PAGE_BYTES;

	for (uint64_t page = 0; page < pages;) {
		const ssize_t got = pread(mem_fd, buffer + page * PAGE_BYTES,
			(size_t)(pages - page) * PAGE_BYTES,
			(off_t)(run->start + page * PAGE_BYTES));
		uint64_t whole;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != EIO)
			return -errno;
		whole = got > 0 ? (uint64_t)got / PAGE_BYTES : 0;
		memset(present + page, 1, whole);
		page += whole;
		if (!whole)
			present[page++] = 0;
	}
	return 0;
}

int guest_reader_read_shared(const struct host_root *root, const struct process *process,
	const struct page_run *runs, size_t run_count, void *buffer, uint8_t *present)
{
	_cleanup_close_ int mem_fd = -1;
	char path[32];
	int r = 0;

	(void)snprintf(path, sizeof(path), "%d/mem", (int)process->id.pid);
	mem_fd = openat(root->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (mem_fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	for (size_t i = 0; r == 0 && i < run_count; i++) {
		const uint64_t bytes = runs[i].end - runs[i].start;

		r = run_read_shared(mem_fd, &runs[i], buffer, present);
		buffer = (char *)buffer + bytes;
		present += bytes / PAGE_BYTES;
	}
	if (r < 0)
		return r;
	return process_alive(process) ? 0 : -ESRCH;
}
