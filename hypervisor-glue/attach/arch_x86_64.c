// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/arch.h"

#if defined(__x86_64__)

#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "common/cleanup.h"

/* include/linux/errno.h, never seen by user space but through ptrace. */
#define KERNEL_ERESTARTNOHAND 514

#define USER64_CODE_SEGMENT 0x33

const uint32_t arch_audit = AUDIT_ARCH_X86_64;
const uint8_t arch_call_instruction[] = { 0x0f, 0x05 }; /* syscall */
const size_t arch_call_instruction_bytes = sizeof(arch_call_instruction);

int arch_registers_read(pid_t tid, struct arch_registers *ret)
{
	struct iovec space = { &ret->user, sizeof(ret->user) };

	if (ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &space) < 0)
		return -errno;
	/* The kernel hands out the smaller i386 set while a thread runs 32-bit code. */
	if (space.iov_len != sizeof(ret->user) || ret->user.cs != USER64_CODE_SEGMENT)
		return -ENOEXEC;
	return 0;
}

int arch_registers_write(pid_t tid, const struct arch_registers *registers)
{
	struct user_regs_struct user = registers->user;
	struct iovec space = { &user, sizeof(user) };

	return ptrace(PTRACE_SETREGSET, tid, NT_PRSTATUS, &space) < 0 ? -errno : 0;
}

uint64_t arch_stack_pointer(const struct arch_registers *registers)
{
	return registers->user.rsp;
}

void arch_set_call(struct arch_registers *registers, const struct arch_call *call)
{
	registers->user.rip = call->instruction;
	registers->user.rax = (unsigned long long)call->number;
	registers->user.rdi = call->arguments[0];
	registers->user.rsi = call->arguments[1];
	arch_forget_call(registers);
}

bool arch_entered(const struct arch_registers *registers, const struct arch_call *call)
{
	return registers->user.rip == call->instruction + sizeof(arch_call_instruction) &&
	       registers->user.orig_rax == (unsigned long long)call->number;
}

int64_t arch_result(const struct arch_registers *registers)
{
	return (int64_t)registers->user.rax;
}

void arch_forget_call(struct arch_registers *registers)
{
	registers->user.orig_rax = (unsigned long long)-1;
}

bool arch_resume_wait(struct arch_registers *registers)
{
	/* Calls that have done nothing yet when they answer EINTR. */
	static const long waits[] = { SYS_epoll_wait, SYS_epoll_pwait, SYS_epoll_pwait2,
		SYS_rt_sigtimedwait, SYS_semop, SYS_semtimedop, SYS_io_getevents,
		SYS_io_uring_enter, SYS_recvfrom, SYS_recvmsg, SYS_accept, SYS_accept4 };

	if (arch_result(registers) != -EINTR)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		if (registers->user.orig_rax == (unsigned long long)waits[i]) {
			registers->user.rax = (unsigned long long)-KERNEL_ERESTARTNOHAND;
			return true;
		}
	}
	return false;
}

#endif
