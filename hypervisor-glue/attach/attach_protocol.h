/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What pagefold-attach answers on its descriptor 3, a SOCK_SEQPACKET socket: exactly one message, a
 * struct attach_reply. Where error is 0 it then holds the ring open under the descriptor it names,
 * so that the other end can take it with pidfd_getfd(), until that end closes the socket.
 * (Linux 6.7 and later refuse to pass a ring's descriptor through a socket.) Both ends are of one
 * build; the magic number guards against a helper left over from another.
 */
#ifndef PAGEFOLD_ATTACH_PROTOCOL_H
#define PAGEFOLD_ATTACH_PROTOCOL_H

#include <linux/io_uring.h>
#include <stdint.h>

#define ATTACH_SOCKET_FD 3

/* "PFA1" */
#define ATTACH_MAGIC UINT32_C(0x31414650)

/*
 * RLIMIT_MEMLOCK is charged per user, and all VMs of libvirt are one user: 64 entries are two
 * pages, which leaves nearly all of the usual 8 MiB to the VMMs' own rings.
 */
#define ATTACH_RING_ENTRIES 64
/*
 * Made disabled, so that nothing can be asked of it before the restriction stands; run by a kernel
 * thread, so that it works on the memory of the process that made it, whoever submits.
 */
#define ATTACH_RING_FLAGS (IORING_SETUP_SQPOLL | IORING_SETUP_R_DISABLED)
/* The kernel thread spins this long after each wake, in the target's cgroup: the least there is. */
#define ATTACH_RING_IDLE_MS 1

#define ATTACH_REASON_BYTES 256

struct attach_reply {
	uint32_t magic;
	int32_t error; /* 0 or -errno */
	struct io_uring_params params;
	uint64_t stopped_ns; /* how long the target's main thread was held */
	uint32_t
		descriptor_left_open; /* 1: the target still holds its own descriptor of the ring */
	int32_t descriptor;           /* of the ring, in the helper; -1 where error is not 0 */
	char reason[ATTACH_REASON_BYTES]; /* one sentence where error is not 0 */
};

#endif
