// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * faultclock MIB SEED [still]
 *
 * Memory to be folded and, in the same address space, one page that it drops and touches again all
 * the time: how long each of these page faults takes. With "still" it only holds the memory. Says
 * "ready PID START LENGTH"; what it is asked: fault_times.h.
 */
#include "tools/lab/guest/fault_times.h"

#define PER_LOOK 1000

static void measure(volatile uint8_t *probe)
{
	for (unsigned i = 0; i < PER_LOOK; i++) {
		struct fault_clock began;

		(void)madvise((void *)(uintptr_t)probe, FAULT_PAGE, MADV_DONTNEED);
		began = fault_begin();
		*probe = 1;
		fault_took(began, fault_now_ns() - began.begin_ns);
	}
}

int main(int argc, char **argv)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	uint64_t bytes;
	uint8_t *memory, *probe;

	if (argc < 3) {
		fprintf(stderr, "usage: %s MIB SEED [still]\n", argv[0]);
		return 2;
	}
	bytes = strtoull(argv[1], NULL, 10) << 20;
	memory = memory_fill(bytes, strtoull(argv[2], NULL, 10) << 32);
	probe = memory_map(FAULT_PAGE);
	fault_say_ready(memory, bytes);
	for (;;) {
		if (argc == 3)
			measure(probe);
		if (poll(&input, 1, argc == 3 ? 0 : -1) == 1 && !fault_answer())
			return 0;
	}
}
