// SPDX-License-Identifier: GPL-2.0-or-later
/* Architectures without a ring: the attempt is refused before anything is touched. */
#include "hypervisor-glue/attach/arch.h"

#if !defined(__x86_64__)

#include <errno.h>

#include "common/cleanup.h"

const uint32_t arch_audit = 0;
const uint8_t arch_call_instruction[] = { 0 };
const size_t arch_call_instruction_bytes = sizeof(arch_call_instruction);

int arch_registers_read(_unused_ pid_t tid, _unused_ struct arch_registers *ret)
{
	return -ENOTSUP;
}

int arch_registers_write(_unused_ pid_t tid, _unused_ const struct arch_registers *registers)
{
	return -ENOTSUP;
}

uint64_t arch_stack_pointer(_unused_ const struct arch_registers *registers)
{
	return 0;
}

void arch_set_call(_unused_ struct arch_registers *registers, _unused_ const struct arch_call *call)
{
}

bool arch_entered(
	_unused_ const struct arch_registers *registers, _unused_ const struct arch_call *call)
{
	return false;
}

int64_t arch_result(_unused_ const struct arch_registers *registers)
{
	return -ENOTSUP;
}

void arch_forget_call(_unused_ struct arch_registers *registers)
{
}

bool arch_resume_wait(_unused_ struct arch_registers *registers)
{
	return false;
}

#endif
