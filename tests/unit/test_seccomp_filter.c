// SPDX-License-Identifier: GPL-2.0-or-later
/* The seccomp evaluator against hand-made programs, hostile ones, and the kernel itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "hypervisor-glue/attach/seccomp_filter.h"

#define NR         BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ARCH       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch))
#define RETURN(k)  BPF_STMT(BPF_RET | BPF_K, (k))
#define RETURN_A   BPF_STMT(BPF_RET | BPF_A, 0)
#define LOAD(k)    BPF_STMT(BPF_LD | BPF_IMM, (k))
#define LOAD_X(k)  BPF_STMT(BPF_LDX | BPF_IMM, (k))
#define ALU(op, k) BPF_STMT(BPF_ALU | (op) | BPF_K, (k))
#define ALU_X(op)  BPF_STMT(BPF_ALU | (op) | BPF_X, 0)

static const struct seccomp_data setup_call = { .nr = SYS_io_uring_setup,
	.arch = AUDIT_ARCH_X86_64,
	.instruction_pointer = UINT64_C(0x7fff12345678),
	.args = { 64, UINT64_C(0x7ffc0badcafe0010) } };

static uint32_t run(const struct sock_filter *program, size_t length)
{
	uint32_t verdict = 0xdeadbeef;

	assert_int_equal(seccomp_filter_run(program, length, &setup_call, &verdict), 0);
	return verdict;
}

static void test_an_allowlist_without_the_call_kills(void **state)
{
	const struct sock_filter allowlist[] = { NR,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 0, 1), RETURN(SECCOMP_RET_ALLOW),
		RETURN(SECCOMP_RET_KILL_PROCESS) };

	(void)state;
	assert_int_equal(run(allowlist, ARRAY_SIZE(allowlist)), SECCOMP_RET_KILL_PROCESS);
}

static void test_a_denylist_without_the_call_allows(void **state)
{
	const struct sock_filter denylist[] = { ARCH,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS), NR,
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fork, 1, 0), RETURN(SECCOMP_RET_ALLOW),
		RETURN(SECCOMP_RET_ERRNO | EPERM) };

	(void)state;
	assert_int_equal(run(denylist, ARRAY_SIZE(denylist)), SECCOMP_RET_ALLOW);
}

static void test_every_word_of_the_call_can_be_seen(void **state)
{
	const struct {
		uint32_t offset, value;
	} words[] = { { 0, SYS_io_uring_setup }, { 4, AUDIT_ARCH_X86_64 }, { 8, 0x12345678 },
		{ 12, 0x7fff }, { 16, 64 }, { 20, 0 }, { 24, 0xcafe0010 }, { 28, 0x7ffc0bad },
		{ 60, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const struct sock_filter program[] = {
			BPF_STMT(BPF_LD | BPF_W | BPF_ABS, words[i].offset), RETURN_A
		};

		assert_int_equal(run(program, ARRAY_SIZE(program)), words[i].value);
	}
}

static void test_arithmetic(void **state)
{
	const struct {
		struct sock_filter step;
		uint32_t expected;
	} cases[] = {
		{ ALU(BPF_ADD, 5), 105 },
		{ ALU(BPF_SUB, 101), UINT32_MAX },
		{ ALU(BPF_MUL, 0x10000000), 0x40000000 },
		{ ALU(BPF_DIV, 7), 14 },
		{ ALU(BPF_AND, 0x60), 0x60 },
		{ ALU(BPF_OR, 0x80000000), 0x80000064 },
		{ ALU(BPF_XOR, UINT32_MAX), UINT32_MAX - 100 },
		{ ALU(BPF_LSH, 31), 0 },
		{ ALU(BPF_LSH, 4), 1600 },
		{ ALU(BPF_RSH, 2), 25 },
		{ ALU(BPF_NEG, 0), UINT32_MAX - 99 },
		{ ALU_X(BPF_ADD), 133 },
		{ ALU_X(BPF_DIV), 3 },
		{ ALU_X(BPF_LSH), 200 }, /* by 33, masked to 1 */
		{ ALU_X(BPF_RSH), 50 },
		{ BPF_STMT(BPF_MISC | BPF_TXA, 0), 33 },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), 64 },
		{ BPF_STMT(BPF_LD | BPF_MEM, 15), 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct sock_filter program[] = { LOAD_X(33), LOAD(100), cases[i].step,
			RETURN_A };

		assert_int_equal(run(program, ARRAY_SIZE(program)), cases[i].expected);
	}
}

static void test_memory_keeps_words(void **state)
{
	const struct sock_filter program[] = { LOAD(7), BPF_STMT(BPF_ST, 3), LOAD_X(9),
		BPF_STMT(BPF_STX, 15), LOAD(0), BPF_STMT(BPF_LDX | BPF_MEM, 3),
		BPF_STMT(BPF_LD | BPF_MEM, 15), ALU_X(BPF_MUL), BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_MISC | BPF_TXA, 0), RETURN_A };

	(void)state;
	assert_int_equal(run(program, ARRAY_SIZE(program)), 63);
}

static void test_jumps(void **state)
{
	const struct {
		uint16_t op;
		uint32_t operand;
		int taken;
	} cases[] = { { BPF_JEQ, 100, 1 }, { BPF_JEQ, 101, 0 }, { BPF_JGT, 99, 1 },
		{ BPF_JGT, 100, 0 }, { BPF_JGE, 100, 1 }, { BPF_JGE, 101, 0 }, { BPF_JSET, 4, 1 },
		{ BPF_JSET, 3, 0 }, { BPF_JGT, UINT32_MAX, 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct sock_filter program[] = { LOAD(100),
			BPF_JUMP(BPF_JMP | cases[i].op | BPF_K, cases[i].operand, 1, 0), RETURN(0),
			RETURN(1) };
		const struct sock_filter by_index[] = { LOAD(100), LOAD_X(cases[i].operand),
			BPF_JUMP(BPF_JMP | cases[i].op | BPF_X, 0, 1, 0), RETURN(0), RETURN(1) };
		const struct sock_filter always[] = { BPF_STMT(BPF_JMP | BPF_JA, 1), RETURN(0),
			RETURN(1) };

		assert_int_equal(run(program, ARRAY_SIZE(program)), cases[i].taken);
		assert_int_equal(run(by_index, ARRAY_SIZE(by_index)), cases[i].taken);
		assert_int_equal(run(always, ARRAY_SIZE(always)), 1);
	}
}

static void test_a_division_by_an_index_of_zero_kills(void **state)
{
	const struct sock_filter program[] = { LOAD(100), LOAD_X(0), ALU_X(BPF_DIV),
		RETURN(SECCOMP_RET_ALLOW) };

	(void)state;
	assert_int_equal(run(program, ARRAY_SIZE(program)), SECCOMP_RET_KILL_THREAD);
}

static void test_what_the_kernel_would_not_take_is_refused(void **state)
{
	const struct sock_filter hostile[][3] = {
		{ LOAD(1), LOAD(2), LOAD(3) },                           /* no return */
		{ BPF_STMT(BPF_JMP | BPF_JA, 2), RETURN(1), RETURN(1) }, /* just past the end */
		{ BPF_STMT(BPF_JMP | BPF_JA, 3), RETURN(1), RETURN(1) },
		{ BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX), RETURN(1), RETURN(1) },
		{ LOAD(1), BPF_STMT(BPF_JMP | BPF_JA, UINT32_MAX - 1), RETURN(1) },
		{ BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 255, 0), RETURN(1), RETURN(1) },
		{ BPF_JUMP(BPF_JMP | BPF_JA | BPF_X, 0, 0, 0), RETURN(1), RETURN(1) },
		{ BPF_JUMP(BPF_JMP | 0x50, 0, 0, 0), RETURN(1), RETURN(1) },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RETURN(1), RETURN(1) },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RETURN(1), RETURN(1) },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, UINT32_MAX - 3), RETURN(1), RETURN(1) },
		{ BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), RETURN(1), RETURN(1) },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), RETURN(1), RETURN(1) },
		{ BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0), RETURN(1), RETURN(1) },
		{ BPF_STMT(BPF_LD | BPF_MEM, 16), RETURN(1), RETURN(1) },
		{ BPF_STMT(BPF_STX, UINT32_MAX), RETURN(1), RETURN(1) },
		{ ALU(BPF_DIV, 0), RETURN(1), RETURN(1) },
		{ ALU(BPF_LSH, 32), RETURN(1), RETURN(1) },
		{ ALU(BPF_MOD, 3), RETURN(1), RETURN(1) },
		{ ALU_X(BPF_NEG), RETURN(1), RETURN(1) },
		{ BPF_STMT(BPF_RET | BPF_X, 0), RETURN(1), RETURN(1) },
		{ BPF_STMT(0x100 | BPF_ALU | BPF_ADD, 0), RETURN(1), RETURN(1) },
		{ BPF_STMT(0xffff, 0), RETURN(1), RETURN(1) },
	};
	uint32_t verdict = 42;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(hostile); i++) {
		assert_int_equal(seccomp_filter_run(
					 hostile[i], ARRAY_SIZE(hostile[i]), &setup_call, &verdict),
			-EINVAL);
		assert_int_equal(verdict, 42);
	}
	assert_int_equal(seccomp_filter_run(hostile[0], 0, &setup_call, &verdict), -EINVAL);
}

/* --- against the kernel --------------------------------------------------------------------- */

#define PROBE     SYS_getppid /* a call without effect, to which arguments may be given */
#define MAX_STEPS 40

static struct sock_filter random_step(void)
{
	const uint16_t operations[] = { BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_AND, BPF_OR,
		BPF_XOR, BPF_LSH, BPF_RSH, BPF_NEG };
	const uint16_t jumps[] = { BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET };
	const uint32_t k = rand() % 2 ? (uint32_t)rand() % 40 : (uint32_t)rand() * 2654435761u;
	const uint32_t cell = (uint32_t)rand() % 2;
	const uint16_t operation = operations[(size_t)rand() % ARRAY_SIZE(operations)];

	switch (rand() % 9) {
	case 0:
		return (struct sock_filter)BPF_STMT(
			BPF_LD | BPF_W | BPF_ABS, 16 + (uint32_t)rand() % 12 * 4);
	case 1:
		return (struct sock_filter)LOAD_X(k);
	case 2:
		return (struct sock_filter)BPF_STMT(BPF_ST, cell);
	case 3:
		return (struct sock_filter)BPF_STMT(BPF_LDX | BPF_MEM, cell);
	case 4:
		return (struct sock_filter)BPF_STMT(BPF_MISC | (rand() % 2 ? BPF_TAX : BPF_TXA), 0);
	case 5:
		return (struct sock_filter)BPF_JUMP(
			(uint16_t)(BPF_JMP | jumps[(size_t)rand() % ARRAY_SIZE(jumps)] |
				   (rand() % 2 ? BPF_X : BPF_K)),
			k, (uint8_t)(rand() % 3), (uint8_t)(rand() % 3));
	case 6:
		return (struct sock_filter)ALU_X(operation == BPF_NEG ? BPF_ADD : operation);
	default:
		return (struct sock_filter)ALU(operation, k);
	}
}

/* Everything but the probe is allowed; the probe fails with what was computed as errno. */
static size_t random_program(struct sock_filter program[MAX_STEPS])
{
	const struct sock_filter head[] = { LOAD(0), BPF_STMT(BPF_ST, 0), BPF_STMT(BPF_ST, 1), NR,
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PROBE, 1, 0), RETURN(SECCOMP_RET_ALLOW) };
	const struct sock_filter tail[] = { ALU(BPF_AND, 0x7ff), ALU(BPF_OR, SECCOMP_RET_ERRNO),
		RETURN_A };
	const size_t middle = 1 + (size_t)rand() % 25;
	size_t length = 0;

	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		program[length++] = head[i];
	for (size_t i = 0; i < middle; i++)
		program[length++] = random_step();
	/* Room for the last jumps, and for the first step, which one may want to skip. */
	for (size_t i = 0; i < 2; i++)
		program[length++] = (struct sock_filter)ALU(BPF_ADD, 0);
	for (size_t i = 0; i < ARRAY_SIZE(tail); i++)
		program[length++] = tail[i];
	return length;
}

/* In a child: 1 + the low byte of errno would lose bits, so the answer comes through a pipe. -1:
 * the kernel does not take the program; -2: it killed the child. */
static int ask_kernel(struct sock_filter *program, size_t length, const uint64_t arguments[6])
{
	const struct sock_fprog installed = { (unsigned short)length, program };
	int channel[2], answer = -2;
	pid_t pid;

	assert_int_equal(pipe(channel), 0);
	pid = fork();
	if (!pid) {
		int said = -1;

		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
			prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &installed) == 0) {
			const long got = syscall(PROBE, arguments[0], arguments[1], arguments[2],
				arguments[3], arguments[4], arguments[5]);

			said = got < 0 ? errno : 0; /* errno 0 is "returned 0" */
		}
		(void)!write(channel[1], &said, sizeof(said));
		_exit(0);
	}
	assert_true(pid > 0);
	close(channel[1]);
	(void)!read(channel[0], &answer, sizeof(answer));
	close(channel[0]);
	(void)waitpid(pid, NULL, 0);
	return answer;
}

static void test_agrees_with_the_kernel_on_random_programs(void **state)
{
	unsigned int compared = 0;

	(void)state;
#if !defined(__x86_64__)
	print_message("SKIP: the compared call is described for x86-64\n");
	skip();
#endif
	srand(20240611);
	for (unsigned int i = 0; i < 400; i++) {
		struct sock_filter program[MAX_STEPS];
		const size_t length = random_program(program);
		struct seccomp_data call = { .nr = PROBE, .arch = AUDIT_ARCH_X86_64 };
		uint32_t verdict;
		int kernel, error;

		for (size_t k = 0; k < 6; k++)
			call.args[k] = (__u64)rand() << 33 ^ (__u64)rand();
		kernel = ask_kernel(program, length, (const uint64_t *)call.args);
		error = seccomp_filter_run(program, length, &call, &verdict);
		if (kernel == -1)
			continue; /* perhaps in a branch that we did not come through */
		assert_int_equal(error, 0);
		compared++;
		if (kernel == -2)
			assert_int_equal(verdict, SECCOMP_RET_KILL_THREAD);
		else
			assert_int_equal(verdict, SECCOMP_RET_ERRNO | (uint32_t)kernel);
	}
	print_message("%u programs compared\n", compared);
	assert_true(compared > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_allowlist_without_the_call_kills),
		cmocka_unit_test(test_a_denylist_without_the_call_allows),
		cmocka_unit_test(test_every_word_of_the_call_can_be_seen),
		cmocka_unit_test(test_arithmetic),
		cmocka_unit_test(test_memory_keeps_words),
		cmocka_unit_test(test_jumps),
		cmocka_unit_test(test_a_division_by_an_index_of_zero_kills),
		cmocka_unit_test(test_what_the_kernel_would_not_take_is_refused),
		cmocka_unit_test(test_agrees_with_the_kernel_on_random_programs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
