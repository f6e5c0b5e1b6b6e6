/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The register file of a stopped thread, as far as one injected system call needs it. One
 * implementation an architecture; arch_none.c where there is none.
 */
#ifndef PAGEFOLD_ATTACH_ARCH_H
#define PAGEFOLD_ATTACH_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#if defined(__x86_64__)
struct arch_registers {
	struct user_regs_struct user;
};
#define ARCH_RED_ZONE_BYTES 128 /* below the stack pointer, the thread's own (System V ABI) */
#else
struct arch_registers {
	unsigned long none;
};
#define ARCH_RED_ZONE_BYTES 0
#endif

struct arch_call {
	uint64_t instruction; /* address of a system call instruction */
	long number;
	uint64_t arguments[2];
};

/* What seccomp calls this architecture (AUDIT_ARCH_*); 0: the ring is not supported here. */
extern const uint32_t arch_audit;
extern const uint8_t arch_call_instruction[];
extern const size_t arch_call_instruction_bytes;

/* -ENOEXEC: the thread runs code of another width. */
int arch_registers_read(pid_t tid, struct arch_registers *ret);
int arch_registers_write(pid_t tid, const struct arch_registers *registers);

uint64_t arch_stack_pointer(const struct arch_registers *registers);
void arch_set_call(struct arch_registers *registers, const struct arch_call *call);
/* Whether the thread has just entered exactly this call. */
bool arch_entered(const struct arch_registers *registers, const struct arch_call *call);
int64_t arch_result(const struct arch_registers *registers);
/* Makes the kernel skip or not restart whatever call the registers are in. */
void arch_forget_call(struct arch_registers *registers);
/*
 * A few waits (epoll_wait() and the like) answer EINTR to a mere stop, although no signal came.
 * Where the thread was in one of those, it is made to wait again; if a signal did come, the kernel
 * turns that into EINTR by itself. True: the registers were changed.
 */
bool arch_resume_wait(struct arch_registers *registers);

#endif
