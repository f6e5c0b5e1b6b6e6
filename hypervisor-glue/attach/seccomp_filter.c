// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/seccomp_filter.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct machine {
	uint32_t accumulator, index;
	uint32_t scratch[BPF_MEMWORDS];
	bool returned; /* divided by zero */
};

static int load_data(const struct seccomp_data *call, uint32_t offset, uint32_t *ret)
{
	if (offset % sizeof(uint32_t) || offset >= sizeof(*call))
		return -EINVAL;
	memcpy(ret, (const char *)call + offset, sizeof(*ret));
	return 0;
}

static int run_scratch(struct machine *machine, const struct sock_filter *step)
{
	if (step->k >= BPF_MEMWORDS)
		return -EINVAL;
	switch (step->code) {
	case BPF_LD | BPF_MEM:
		machine->accumulator = machine->scratch[step->k];
		return 0;
	case BPF_LDX | BPF_MEM:
		machine->index = machine->scratch[step->k];
		return 0;
	case BPF_ST:
		machine->scratch[step->k] = machine->accumulator;
		return 0;
	case BPF_STX:
		machine->scratch[step->k] = machine->index;
		return 0;
	default:
		return -EINVAL;
	}
}

static int run_load(
	struct machine *machine, const struct sock_filter *step, const struct seccomp_data *call)
{
	switch (step->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		return load_data(call, step->k, &machine->accumulator);
	case BPF_LD | BPF_W | BPF_LEN:
		machine->accumulator = sizeof(*call);
		return 0;
	case BPF_LDX | BPF_W | BPF_LEN:
		machine->index = sizeof(*call);
		return 0;
	case BPF_LD | BPF_IMM:
		machine->accumulator = step->k;
		return 0;
	case BPF_LDX | BPF_IMM:
		machine->index = step->k;
		return 0;
	default:
		return run_scratch(machine, step);
	}
}

/* Division and shifts: a constant operand that makes no sense is refused by the kernel, one in the
 * index register is not known before: zero ends the program as `ret #0` does, a shift is masked. */
static int run_checked_arithmetic(
	struct machine *machine, const struct sock_filter *step, uint32_t operand)
{
	const bool by_index = BPF_SRC(step->code) == BPF_X;
	uint32_t *const a = &machine->accumulator;

	switch (BPF_OP(step->code)) {
	case BPF_DIV:
		machine->returned = !operand;
		*a /= operand ? operand : 1;
		return operand || by_index ? 0 : -EINVAL;
	case BPF_LSH:
		*a <<= operand & 31;
		return operand < 32 || by_index ? 0 : -EINVAL;
	case BPF_RSH:
		*a >>= operand & 31;
		return operand < 32 || by_index ? 0 : -EINVAL;
	case BPF_NEG:
		*a = -*a;
		return by_index ? -EINVAL : 0;
	default:
		return -EINVAL;
	}
}

static int run_arithmetic(struct machine *machine, const struct sock_filter *step)
{
	const uint32_t operand = BPF_SRC(step->code) == BPF_X ? machine->index : step->k;
	uint32_t *const a = &machine->accumulator;

	switch (BPF_OP(step->code)) {
	case BPF_ADD:
		*a += operand;
		return 0;
	case BPF_SUB:
		*a -= operand;
		return 0;
	case BPF_MUL:
		*a *= operand;
		return 0;
	case BPF_AND:
		*a &= operand;
		return 0;
	case BPF_OR:
		*a |= operand;
		return 0;
	case BPF_XOR:
		*a ^= operand;
		return 0;
	default:
		return run_checked_arithmetic(machine, step, operand);
	}
}

/* How many steps to skip. */
static int run_jump(const struct machine *machine, const struct sock_filter *step, uint32_t *ret)
{
	const uint32_t a = machine->accumulator;
	const uint32_t operand = BPF_SRC(step->code) == BPF_X ? machine->index : step->k;
	bool taken;

	switch (BPF_OP(step->code)) {
	case BPF_JA:
		*ret = step->k;
		return BPF_SRC(step->code) == BPF_X ? -EINVAL : 0;
	case BPF_JEQ:
		taken = a == operand;
		break;
	case BPF_JGT:
		taken = a > operand;
		break;
	case BPF_JGE:
		taken = a >= operand;
		break;
	case BPF_JSET:
		taken = a & operand;
		break;
	default:
		return -EINVAL;
	}
	*ret = taken ? step->jt : step->jf;
	return 0;
}

static int run_move(struct machine *machine, const struct sock_filter *step)
{
	switch (step->code) {
	case BPF_MISC | BPF_TAX:
		machine->index = machine->accumulator;
		return 0;
	case BPF_MISC | BPF_TXA:
		machine->accumulator = machine->index;
		return 0;
	default:
		return -EINVAL;
	}
}

static int run_step(struct machine *machine, const struct sock_filter *step,
	const struct seccomp_data *call, uint32_t *ret_skip)
{
	*ret_skip = 0;
	switch (BPF_CLASS(step->code)) {
	case BPF_ALU:
		/* A code is 16 bits wide, its fields only eight. */
		return step->code > 0xff ? -EINVAL : run_arithmetic(machine, step);
	case BPF_JMP:
		return step->code > 0xff ? -EINVAL : run_jump(machine, step, ret_skip);
	case BPF_MISC:
		return run_move(machine, step);
	default:
		return run_load(machine, step, call);
	}
}

int seccomp_filter_run(const struct sock_filter *program, size_t length,
	const struct seccomp_data *call, uint32_t *ret_verdict)
{
	struct machine machine = { 0 };

	for (size_t at = 0; at < length; at++) {
		const struct sock_filter *step = &program[at];
		uint32_t skip;
		int error;

		if (step->code == (BPF_RET | BPF_K) || step->code == (BPF_RET | BPF_A)) {
			*ret_verdict =
				step->code == (BPF_RET | BPF_K) ? step->k : machine.accumulator;
			return 0;
		}
		error = run_step(&machine, step, call, &skip);
		if (error)
			return error;
		if (machine.returned) {
			*ret_verdict = SECCOMP_RET_KILL_THREAD;
			return 0;
		}
		if (skip >= length - at)
			return -EINVAL;
		at += skip;
	}
	return -EINVAL;
}
