// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tricky_target MODE: a process whose main thread cannot bear to be touched.
 *
 *     registers    keeps every register and the red zone filled with known values
 *     rseq         counts in restartable sequences, on one CPU, against a second thread
 *     small-stack  runs on a stack with another thread's memory right below it
 */
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/rseq.h>

#include "tests/functional/helpers/busy.h"

/* --- registers ------------------------------------------------------------------------------- */

/* One round in assembly: fill, spin, compare. Returns the number of registers that differ. */
uint64_t registers_round(void);

__asm__(".globl registers_round\n"
	"registers_round:\n"
	"	push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
	"	mov $0x1111111111111111, %rax; movq %rax, %xmm0; movq %rax, %xmm15\n"
	"	mov %rax, -8(%rsp); mov %rax, -64(%rsp); mov %rax, -128(%rsp)\n"
	"	mov $0x22, %rbx; mov $0x33, %rdx; mov $0x44, %rsi; mov $0x55, %rdi\n"
	"	mov $0x66, %rbp; mov $0x77, %r8; mov $0x88, %r9; mov $0x99, %r10\n"
	"	mov $0xaa, %r11; mov $0xbb, %r12; mov $0xcc, %r13; mov $0xdd, %r14; mov $0xee, "
	"%r15\n"
	"	mov $200000, %ecx\n"
	"1:	dec %ecx\n"
	"	jnz 1b\n"
	"	cmp %rax, -8(%rsp); setne %cl; cmp %rax, -64(%rsp); jne 2f\n"
	"	cmp %rax, -128(%rsp); jne 2f; test %cl, %cl; jne 2f\n"
	"	movq %xmm0, %rcx; cmp %rax, %rcx; jne 2f; movq %xmm15, %rcx; cmp %rax, %rcx; jne "
	"2f\n"
	"	mov $0x1111111111111111, %rcx; cmp %rax, %rcx; jne 2f\n"
	"	cmp $0x22, %rbx; jne 2f; cmp $0x33, %rdx; jne 2f; cmp $0x44, %rsi; jne 2f\n"
	"	cmp $0x55, %rdi; jne 2f; cmp $0x66, %rbp; jne 2f; cmp $0x77, %r8; jne 2f\n"
	"	cmp $0x88, %r9; jne 2f; cmp $0x99, %r10; jne 2f; cmp $0xaa, %r11; jne 2f\n"
	"	cmp $0xbb, %r12; jne 2f; cmp $0xcc, %r13; jne 2f; cmp $0xdd, %r14; jne 2f\n"
	"	cmp $0xee, %r15; jne 2f\n"
	"	xor %eax, %eax; jmp 3f\n"
	"2:	mov $1, %eax\n"
	"3:	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
	"	ret\n");

static void run_registers(void)
{
	for (;; atomic_fetch_add(&rounds, 1))
		if (registers_round())
			wrong("registers", 1, 0);
}

/* --- restartable sequences ------------------------------------------------------------------- */

static uint64_t shared_count; /* only ever changed inside a sequence */
static atomic_ulong added[2];

/* shared_count = shared_count + 1, slowly, and only if nobody came in between. */
static bool rseq_add(struct rseq *area)
{
	__asm__ goto(".pushsection __rseq_cs, \"aw\"; .balign 32\n"
		     "3:	.long 0, 0; .quad 1f, 2f - 1f, 4f\n"
		     ".popsection\n"
		     ".pushsection __rseq_abort, \"ax\"; .long 0x53053053\n"
		     "4:	jmp %l[aborted]\n"
		     ".popsection\n"
		     "	lea 3b(%%rip), %%rax; mov %%rax, %c[offset](%[area])\n"
		     "1:	mov %[count], %%rax; mov $20000, %%ecx\n"
		     "5:	dec %%ecx; jnz 5b\n"
		     "	inc %%rax; mov %%rax, %[count]\n"
		     "2:\n"
		     :
		     : [area] "r"(area), [count] "m"(shared_count),
		     [offset] "i"(offsetof(struct rseq, rseq_cs))
		     : "rax", "rcx", "memory", "cc"
		     : aborted);
	return true;
aborted:
	return false;
}

static struct rseq *rseq_area(void)
{
	return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static void *add_too(void *unused)
{
	for (;;)
		if (rseq_add(rseq_area()))
			atomic_fetch_add(&added[1], 1);
	return unused;
}

static void run_rseq(void)
{
	struct rseq *area = rseq_area();
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	if (sched_setaffinity(0, sizeof(one), &one) || !__rseq_size)
		abort();
	start_thread(add_too);
	for (;; atomic_fetch_add(&rounds, 1)) {
		uint64_t sum;

		for (int i = 0; i < 64; i++)
			if (rseq_add(area))
				atomic_fetch_add(&added[0], 1);
		/* The other may have counted, but not said so yet: never more than one. */
		sum = added[0] + added[1];
		if (__atomic_load_n(&shared_count, __ATOMIC_SEQ_CST) + 1 < sum)
			wrong("a lost count", (long)(sum - shared_count), 0);
	}
}

/* --- a small stack --------------------------------------------------------------------------- */

/* Below the stack lies memory of another thread, whose every word it keeps counting up. */
static struct {
	_Alignas(64) volatile uint64_t foreign[1024];
	char stack[1536];
} arena;

static void *count_foreign(void *unused)
{
	for (uint64_t value = 1;; value++) {
		for (size_t i = 0; i < 1024; i++) {
			if (arena.foreign[i] != value - 1)
				wrong("foreign memory", (long)i, 0);
			arena.foreign[i] = value;
		}
	}
	return unused;
}

static void spin_on_small_stack(void)
{
	/* Almost at its end: a hundred bytes are left below. */
	__asm__ volatile("	mov %%rsp, %%rbx; mov %0, %%rsp\n"
			 "1:	lock incq %1\n"
			 "	mov $1000, %%ecx\n"
			 "2:	dec %%ecx; jnz 2b\n"
			 "	jmp 1b\n"
			 :
			 : "r"(arena.stack + 112), "m"(rounds)
			 : "rbx", "rcx", "memory", "cc");
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	say_ready();
	if (!strcmp(mode, "registers")) {
		run_registers();
	} else if (!strcmp(mode, "rseq")) {
		run_rseq();
	} else if (!strcmp(mode, "small-stack")) {
		start_thread(count_foreign);
		spin_on_small_stack();
	}
	return 2;
}
