/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU time of the kernel threads that serve one ring: its polling thread iou-sqp-*, and the workers
 * iou-wrk-N, whose N is that thread's number. Workers come and go (they end when idle for 5 s), so
 * what was last seen of each stays counted.
 */
#ifndef PAGEFOLD_GLUE_RING_CPU_H
#define PAGEFOLD_GLUE_RING_CPU_H

#include <stdint.h>
#include <sys/types.h>

#include "hypervisor-glue/host_root.h"

struct ring_thread {
	pid_t tid; /* 0: none */
	uint64_t cpu_ns;
};

struct ring_cpu {
	pid_t pid;
	struct ring_thread poll, worker; /* a ring of ours has one worker at a time */
	uint64_t ended_ns;               /* of workers that are gone */
};

void ring_cpu_init(struct ring_cpu *cpu, pid_t pid, pid_t poll_tid);

/* Looks again. Cheap while the worker is the one known; call it after each batch, before an idle
 * worker can have ended. A process that ended keeps what was seen of it. */
void ring_cpu_sample(struct ring_cpu *cpu, const struct host_root *root);
uint64_t ring_cpu_total_ns(const struct ring_cpu *cpu);

#endif
