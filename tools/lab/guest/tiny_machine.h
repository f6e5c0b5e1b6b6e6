/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The smallest virtual machine: one vCPU, no firmware, no devices, no operating system. What is
 * done to its memory reaches it through KVM's shadow or nested page tables, as it does any guest.
 *
 * The guest runs in long mode at privilege level 3 with I/O privilege 3 from its first instruction
 * on. A KVM that emulates ring 0 (as on a host that is a guest itself) runs it at full speed all
 * the same, and an `out` is all it needs to reach the VMM. Its code is a function of the very
 * program that includes this, marked TINY_GUEST_FUNCTION and copied into the guest: integers only,
 * and no call out of what is copied. Each virtual address is the same physical one.
 */
#ifndef PAGEFOLD_LAB_TINY_MACHINE_H
#define PAGEFOLD_LAB_TINY_MACHINE_H

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* Guest-physical layout: the guest's own things in one small slot, which the program may use from
 * GUEST_FREE on, and the RAM that is tested in another. */
enum {
	GUEST_PML4 = 0x1000,
	GUEST_PDPT = 0x2000,
	GUEST_DIRECTORIES = 0x3000, /* four, for 4 GiB in 2 MiB pages */
	GUEST_CODE = 0x10000,
	GUEST_CODE_BYTES = 0x8000,
	GUEST_STACK_TOP = 0x80000,
	GUEST_FREE = 0x80000,
	GUEST_RAM = 0x40000000,
	GUEST_RAM_MIB_MAX = 2048,
	GUEST_PORT = 0x10,
};

#define TINY_GUEST_ATTRIBUTES                                                                      \
	__attribute__((target("general-regs-only"), no_sanitize("address", "undefined")))
#define TINY_GUEST_FUNCTION                                                                        \
	__attribute__((section("tiny_guest"), noinline, used, no_stack_protector))                 \
	TINY_GUEST_ATTRIBUTES

/* In the guest: the VMM's machine_run() returns it. */
static inline __attribute__((always_inline)) TINY_GUEST_ATTRIBUTES void guest_say(uint32_t what)
{
	__asm__ volatile("outl %0, %1" : : "a"(what), "N"(GUEST_PORT) : "memory");
}

/* Where the linker put the section that the guest's code is in. */
extern const char __start_tiny_guest[], __stop_tiny_guest[];

struct machine {
	int kvm, vm, vcpu;
	struct kvm_run *run;
	char *own; /* the small slot, at guest-physical 0 */
};

static inline void machine_add_memory(
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
static inline void machine_fill_page_tables(struct machine *machine)
{
	enum { USER = 0x7, LEAF = 0x80, DIRECTORIES = 4, ENTRIES = 512 };
	uint64_t *pml4 = (uint64_t *)(machine->own + GUEST_PML4);
	uint64_t *pdpt = (uint64_t *)(machine->own + GUEST_PDPT);
	uint64_t *directories = (uint64_t *)(machine->own + GUEST_DIRECTORIES);

	pml4[0] = GUEST_PDPT | USER;
	for (uint64_t i = 0; i < DIRECTORIES; i++)
		pdpt[i] = (GUEST_DIRECTORIES + i * 0x1000) | USER;
	for (uint64_t i = 0; i < DIRECTORIES * ENTRIES; i++)
		directories[i] = i * (2UL << 20) | USER | LEAF;
}

/* Long mode has to be among the features a vCPU has before its registers may say so. */
static inline void machine_give_features(struct machine *machine)
{
	enum { ENTRIES = 256 };
	struct kvm_cpuid2 *features =
		calloc(1, sizeof *features + ENTRIES * sizeof features->entries[0]);

	if (!features)
		err(2, "calloc");
	features->nent = ENTRIES;
	if (ioctl(machine->kvm, KVM_GET_SUPPORTED_CPUID, features) < 0 ||
		ioctl(machine->vcpu, KVM_SET_CPUID2, features) < 0)
		err(2, "KVM_SET_CPUID2");
	free(features);
}

/* Straight into long mode at privilege level 3. */
static inline void machine_set_mode(struct machine *machine)
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

static inline void machine_set_entry(
	struct machine *machine, void (*function)(void *), uint64_t argument)
{
	struct kvm_regs registers = {
		.rip = GUEST_CODE + ((uintptr_t)function - (uintptr_t)__start_tiny_guest),
		.rsp = GUEST_STACK_TOP - 8, /* as after a call */
		.rdi = argument,
		.rflags = 0x3002, /* I/O privilege level 3 */
	};

	if (ioctl(machine->vcpu, KVM_SET_REGS, &registers) < 0)
		err(2, "KVM_SET_REGS");
}

static inline void machine_load_code(struct machine *machine)
{
	const size_t bytes = (size_t)(__stop_tiny_guest - __start_tiny_guest);

	if (bytes > GUEST_CODE_BYTES)
		errx(2, "the guest's code is too long");
	memcpy(machine->own + GUEST_CODE, __start_tiny_guest, bytes);
}

/* own: the memory of the small slot, zeros. Ends the program with 3 where there is no KVM. */
static inline void machine_create(struct machine *machine, void *own, uint64_t own_bytes)
{
	*machine = (struct machine){ .own = own, .kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC) };
	if (machine->kvm < 0)
		err(3, "/dev/kvm");
	machine->vm = ioctl(machine->kvm, KVM_CREATE_VM, 0);
	if (machine->vm < 0)
		err(3, "KVM_CREATE_VM");
	machine_add_memory(machine, 0, 0, own, own_bytes);
	machine_fill_page_tables(machine);
	machine_load_code(machine);
}

/* Once all memory is there. The function is the guest's, and so is the argument's address. */
static inline void machine_boot(
	struct machine *machine, void (*function)(void *), uint64_t argument)
{
	const int bytes = ioctl(machine->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	machine->vcpu = ioctl(machine->vm, KVM_CREATE_VCPU, 0);
	if (machine->vcpu < 0)
		err(3, "KVM_CREATE_VCPU");
	machine->run =
		mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, machine->vcpu, 0);
	if (machine->run == MAP_FAILED)
		err(2, "mmap");
	machine_give_features(machine);
	machine_set_mode(machine);
	machine_set_entry(machine, function, argument);
}

/* Until the guest says something. */
static inline uint32_t machine_run(struct machine *machine)
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

#endif
