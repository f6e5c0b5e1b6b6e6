// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The smallest virtual machine that checks its own memory: one vCPU, no firmware, no devices, no
 * operating system. What folding does to its memory reaches it through KVM's shadow or nested page
 * tables, as it does any guest. Options and line protocol: checker_cli.h.
 *
 * The guest runs in long mode at privilege level 3 with I/O privilege 3 from its first instruction
 * on. A KVM that emulates ring 0 (as on a host that is a guest itself) runs it at full speed all
 * the same, and an `out` is all it needs to reach the VMM. Its code is guest_main() below, copied
 * out of this very program.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

/* Nothing but integer registers, and no call out of what is copied into the guest. */
#define PAGECHECK_ATTRIBUTES                                                                       \
	__attribute__((target("general-regs-only"), no_sanitize("address", "undefined")))
#include "tools/lab/guest/checker_cli.h"

/* Guest-physical layout: the guest's own things in one small slot, the RAM that is checked (and
 * folded) in another. Each virtual address is the same physical one. */
enum {
	GUEST_PML4 = 0x1000,
	GUEST_PDPT = 0x2000,
	GUEST_DIRECTORIES = 0x3000, /* four, for 4 GiB in 2 MiB pages */
	GUEST_CODE = 0x10000,
	GUEST_CODE_BYTES = 0x8000,
	GUEST_STACK_TOP = 0x80000,
	GUEST_MAILBOX = 0x80000,
	GUEST_PAGE_RECORDS = 0x100000,
	GUEST_RAM = 0x40000000,
	GUEST_RAM_MIB_MAX = 2048,
	GUEST_PORT = 0x10,
};

enum { SAY_READY = 1, SAY_ROUND = 2, SAY_WRONG = 3 };

/* Shared by guest and VMM; the VMM writes only while the guest is stopped. */
struct mailbox {
	struct pagecheck check; /* addresses are the guest's */
	uint64_t hot_writes, stray_writes, extra_writes;
	struct pagecheck_error error;
};

#define GUEST_FUNCTION                                                                             \
	__attribute__((section("tiny_guest"), noinline, used, no_stack_protector))                 \
	PAGECHECK_ATTRIBUTES

PAGECHECK_INLINE void guest_say(uint32_t what)
{
	__asm__ volatile("outl %0, %1" : : "a"(what), "N"(GUEST_PORT) : "memory");
}

GUEST_FUNCTION static void guest_main(struct mailbox *mailbox)
{
	struct pagecheck *check = &mailbox->check;

	pagecheck_fill_all(check);
	guest_say(SAY_READY);
	for (;;) {
		bool right = pagecheck_round(
			check, mailbox->hot_writes, mailbox->stray_writes, &mailbox->error);

		guest_say(right ? SAY_ROUND : SAY_WRONG);
		pagecheck_rewrite_some(check, 0, check->page_count, mailbox->extra_writes);
	}
}

/* Where the linker put the section that guest_main() is in. */
extern const char __start_tiny_guest[], __stop_tiny_guest[];

struct machine {
	int vm, vcpu;
	struct kvm_run *run;
	char *own; /* the small slot, at guest-physical 0 */
	struct mailbox *mailbox;
};

static void machine_add_memory(
	struct machine *machine, uint32_t slot, uint64_t physical, void *memory, uint64_t bytes)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = physical,
		.memory_size = bytes,
		.userspace_addr = (uintptr_t)memory,
	};

	if (ioctl(machine->vm, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		err(2, "KVM_SET_USER_MEMORY_REGION");
}

/* Present, writable, for user mode; the leaves are 2 MiB. */
static void machine_fill_page_tables(struct machine *machine)
{
	enum { USER = 0x7, LEAF = 0x80, DIRECTORIES = 4, ENTRIES = 512 };
	uint64_t *pml4 = (uint64_t *)(machine->own + GUEST_PML4);
	uint64_t *pdpt = (uint64_t *)(machine->own + GUEST_PDPT);
	uint64_t *directories = (uint64_t *)(machine->own + GUEST_DIRECTORIES);

	pml4[0] = GUEST_PDPT | USER;
	for (uint64_t i = 0; i < DIRECTORIES; i++)
		pdpt[i] = (GUEST_DIRECTORIES + i * PAGECHECK_PAGE_BYTES) | USER;
	for (uint64_t i = 0; i < DIRECTORIES * ENTRIES; i++)
		directories[i] = i * CHECKER_HUGE_BYTES | USER | LEAF;
}

/* Long mode has to be among the features a vCPU has before its registers may say so. */
static void machine_give_features(int kvm, struct machine *machine)
{
	enum { ENTRIES = 256 };
	struct kvm_cpuid2 *features =
		calloc(1, sizeof *features + ENTRIES * sizeof features->entries[0]);

	if (!features)
		err(2, "calloc");
	features->nent = ENTRIES;
	if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, features) < 0 ||
		ioctl(machine->vcpu, KVM_SET_CPUID2, features) < 0)
		err(2, "KVM_SET_CPUID2");
	free(features);
}

/* Straight into long mode at privilege level 3. */
static void machine_set_mode(struct machine *machine)
{
	enum { CR0_PE_ET_NE_PG = 0x80000031, CR4_PAE = 0x20, EFER_LME_LMA = 0x500 };
	enum { RING3_CODE = 0x1b, RING3_DATA = 0x23, EXECUTABLE = 11, WRITABLE = 3 };
	struct kvm_segment data = {
		.limit = UINT32_MAX,
		.selector = RING3_DATA,
		.type = WRITABLE,
		.present = 1,
		.dpl = 3,
		.s = 1,
		.db = 1,
		.g = 1,
	};
	struct kvm_sregs special;

	if (ioctl(machine->vcpu, KVM_GET_SREGS, &special) < 0)
		err(2, "KVM_GET_SREGS");
	special.ds = special.es = special.fs = special.gs = special.ss = data;
	special.cs = data;
	special.cs.selector = RING3_CODE;
	special.cs.type = EXECUTABLE;
	special.cs.l = 1;
	special.cs.db = 0;
	special.cr0 = CR0_PE_ET_NE_PG;
	special.cr3 = GUEST_PML4;
	special.cr4 = CR4_PAE;
	special.efer = EFER_LME_LMA;
	if (ioctl(machine->vcpu, KVM_SET_SREGS, &special) < 0)
		err(2, "KVM_SET_SREGS");
}

static void machine_set_entry(struct machine *machine)
{
	struct kvm_regs registers = {
		.rip = GUEST_CODE + ((uintptr_t)guest_main - (uintptr_t)__start_tiny_guest),
		.rsp = GUEST_STACK_TOP - 8, /* as after a call */
		.rdi = GUEST_MAILBOX,
		.rflags = 0x3002, /* I/O privilege level 3 */
	};

	if (ioctl(machine->vcpu, KVM_SET_REGS, &registers) < 0)
		err(2, "KVM_SET_REGS");
}

static void machine_load_guest(struct machine *machine, const struct checker *checker)
{
	size_t code_bytes = (size_t)(__stop_tiny_guest - __start_tiny_guest);

	if (code_bytes > GUEST_CODE_BYTES)
		errx(2, "the guest's code is too long");
	memcpy(machine->own + GUEST_CODE, __start_tiny_guest, code_bytes);
	machine->mailbox = (struct mailbox *)(machine->own + GUEST_MAILBOX);
	*machine->mailbox = (struct mailbox){
		.check = checker->check,
		.hot_writes = checker->hot_writes,
		.stray_writes = checker->stray_writes,
	};
	machine->mailbox->check.memory = (uint64_t *)GUEST_RAM;
	machine->mailbox->check.pages = (struct pagecheck_page *)GUEST_PAGE_RECORDS;
}

static void machine_start(struct machine *machine, const struct checker *checker, void *ram)
{
	uint64_t records = checker->check.page_count * sizeof(struct pagecheck_page);
	uint64_t own_bytes =
		(GUEST_PAGE_RECORDS + records + CHECKER_HUGE_BYTES) & ~(CHECKER_HUGE_BYTES - 1);
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm < 0)
		err(3, "/dev/kvm");
	machine->vm = ioctl(kvm, KVM_CREATE_VM, 0);
	if (machine->vm < 0)
		err(3, "KVM_CREATE_VM");
	machine->own = checker_map(own_bytes, false);
	machine_add_memory(machine, 0, 0, machine->own, own_bytes);
	machine_add_memory(machine, 1, GUEST_RAM, ram, checker->mib << 20);
	machine->vcpu = ioctl(machine->vm, KVM_CREATE_VCPU, 0);
	if (machine->vcpu < 0)
		err(3, "KVM_CREATE_VCPU");
	int run_bytes = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	machine->run =
		mmap(NULL, (size_t)run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpu, 0);
	if (machine->run == MAP_FAILED)
		err(2, "mmap");
	machine_fill_page_tables(machine);
	machine_load_guest(machine, checker);
	machine_give_features(kvm, machine);
	machine_set_mode(machine);
	machine_set_entry(machine);
}

/* Until the guest says something. */
static uint32_t machine_run(struct machine *machine)
{
	struct kvm_run *run = machine->run;
	uint32_t said;

	while (ioctl(machine->vcpu, KVM_RUN, 0) < 0)
		if (errno != EINTR && errno != EAGAIN)
			err(2, "KVM_RUN");
	if (run->exit_reason != KVM_EXIT_IO || run->io.port != GUEST_PORT)
		errx(2, "the guest broke down: KVM exit %u", run->exit_reason);
	memcpy(&said, (const char *)run + run->io.data_offset, sizeof said);
	return said;
}

int main(int argc, char **argv)
{
	static struct checker checker;
	struct machine machine;
	uint64_t pages;

	checker_parse(&checker, argc, argv);
	if (checker.mib > GUEST_RAM_MIB_MAX)
		errx(2, "more than %d MiB", GUEST_RAM_MIB_MAX);
	void *ram = checker_map(checker.mib << 20, checker.hugepages);

	machine_start(&machine, &checker, ram);
	for (;;) {
		switch (machine_run(&machine)) {
		case SAY_READY:
			checker_say_ready(&checker, ram);
			continue;
		case SAY_WRONG:
			checker.check.pages =
				(struct pagecheck_page *)(machine.own + GUEST_PAGE_RECORDS);
			return checker_say_wrong(&checker, &machine.mailbox->error);
		}
		checker.rounds++;
		machine.mailbox->extra_writes = 0;
		switch (checker_listen(&checker, &pages)) {
		case CHECKER_GO_ON:
			break;
		case CHECKER_WRITE:
			machine.mailbox->extra_writes = pages;
			printf("wrote %llu\n", (unsigned long long)pages);
			break;
		case CHECKER_STOP:
			checker_say_status(&checker, 0);
			return 0;
		}
	}
}
