// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kvm_faultclock MIB SEED
 *
 * A virtual machine (tiny_machine.h) whose RAM is to be folded. All the time the VMM drops one
 * page, which is not of that RAM, and lets the guest write it: how long the guest is away is a page fault
 * through KVM's MMU. Then it reads one page of its RAM, each time the next one, which is a fault where folding
 * took the page from its tables: it counts if it took as long as the quickest fault did. Says "ready PID START LENGTH"; what it is asked:
 * fault_times.h.
 */
#include "tools/lab/guest/tiny_machine.h"

#include "tools/lab/guest/fault_times.h"

#define PER_LOOK  100
#define OWN_BYTES (UINT64_C(2) << 20)

/* In the guest's own slot, and the probe in one of its own. */
enum { GUEST_MAILBOX = GUEST_FREE, GUEST_PROBE = 0x20000000 };

struct mailbox {
	uint64_t pages; /* of RAM */
};

TINY_GUEST_FUNCTION static void guest_main(void *argument)
{
	const struct mailbox *mailbox = argument;

	for (uint64_t page = 0;; page = (page + 1) % mailbox->pages) {
		*(volatile uint64_t *)GUEST_PROBE = page;
		guest_say(1);
		(void)*(const volatile uint64_t *)(GUEST_RAM + page * FAULT_PAGE);
		guest_say(1);
	}
}

static uint64_t away_ns(struct machine *machine, struct fault_clock *ret_began)
{
	*ret_began = fault_begin();
	(void)machine_run(machine);
	return fault_now_ns() - ret_began->begin_ns;
}

static void measure(struct machine *machine, uint8_t *probe)
{
	static uint64_t quickest_ns = UINT64_MAX;

	for (unsigned i = 0; i < PER_LOOK; i++) {
		struct fault_clock began;
		uint64_t ns;

		(void)madvise(probe, FAULT_PAGE, MADV_DONTNEED);
		ns = away_ns(machine, &began);
		fault_took(began, ns);
		if (ns < quickest_ns)
			quickest_ns = ns;
		ns = away_ns(machine, &began);
		if (ns >= quickest_ns)
			fault_took(began, ns);
	}
}

int main(int argc, char **argv)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	const uint64_t mib = argc == 3 ? strtoull(argv[1], NULL, 10) : 0;
	struct machine machine;
	uint8_t *memory, *probe;

	if (!mib || mib > GUEST_RAM_MIB_MAX) {
		fprintf(stderr, "usage: %s MIB SEED\n", argv[0]);
		return 2;
	}
	memory = memory_fill(mib << 20, strtoull(argv[2], NULL, 10) << 32);
	probe = memory_map(FAULT_PAGE);
	machine_create(&machine, memory_map(OWN_BYTES), OWN_BYTES);
	machine_add_memory(&machine, 1, GUEST_RAM, memory, mib << 20);
	machine_add_memory(&machine, 2, GUEST_PROBE, probe, FAULT_PAGE);
	((struct mailbox *)(void *)(machine.own + GUEST_MAILBOX))->pages = (mib << 20) / FAULT_PAGE;
	machine_boot(&machine, guest_main, GUEST_MAILBOX);
	(void)machine_run(&machine);
	(void)machine_run(&machine);
	fault_say_ready(memory, mib << 20);
	do
		measure(&machine, probe);
	while (poll(&input, 1, 0) != 1 || fault_answer());
	return 0;
}
