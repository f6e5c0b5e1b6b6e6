// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/remote.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/attach/remote_wait.h"

/* A thread in uninterruptible sleep does not stop; it may stay there for ever. Meanwhile nothing
 * has happened to it, so there is time for a thread that only waits for a CPU. */
#define STOP_NS (500 * NS_PER_MS)
/* Between being let go and entering the call lie a few instructions, unless it is frozen there. */
#define ENTRY_NS (500 * NS_PER_MS)

/* linux/rseq.h: struct rseq { u32 cpu_id_start, cpu_id; u64 rseq_cs; ... } */
#define RSEQ_CS_OFFSET 8

static int trace(int request, pid_t pid, unsigned long address, unsigned long data)
{
	if (ptrace((enum __ptrace_request)request, pid, address, data) < 0)
		return -errno;
	return 0;
}

/*
 * Word by word through ptrace, which looks again each time whether this is still our stopped
 * tracee: when another thread of the target calls execve(), the pid is another program's at once.
 */
static int memory_read(pid_t pid, uint64_t address, void *ret_bytes, size_t length)
{
	char *to = ret_bytes;

	for (size_t at = 0; at < length; at += sizeof(long)) {
		long word;

		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, pid, (void *)(uintptr_t)(address + at), NULL);
		if (errno)
			return -errno;
		memcpy(to + at, &word, sizeof(word));
	}
	return 0;
}

static int memory_write(pid_t pid, uint64_t address, const void *bytes, size_t length)
{
	const char *from = bytes;

	for (size_t at = 0; at < length; at += sizeof(long)) {
		unsigned long word;
		int error;

		memcpy(&word, from + at, sizeof(word));
		error = trace(PTRACE_POKEDATA, pid, address + at, word);
		if (error)
			return error;
	}
	return 0;
}

/* Signals that come first are handed on: the interrupt is still pending behind them. */
static int wait_interrupted(pid_t pid)
{
	const uint64_t deadline_ns = clock_monotonic_ns() + STOP_NS;
	struct remote_stop stop;
	int error;

	for (;;) {
		error = remote_wait(pid, deadline_ns, &stop);
		if (error)
			return error;
		if (stop.kind == REMOTE_STOP_TRAP)
			return 0;
		if (stop.kind == REMOTE_STOP_GROUP)
			break;
		(void)trace(PTRACE_CONT, pid, 0, (unsigned long)stop.signal);
	}
	(void)trace(PTRACE_DETACH, pid, 0, 0); /* it stays stopped, as it was */
	return -EAGAIN;
}

int remote_stop(pid_t pid, struct remote *ret)
{
	int error = trace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD);

	if (error)
		return error;
	error = trace(PTRACE_INTERRUPT, pid, 0, 0);
	if (!error)
		error = wait_interrupted(pid);
	/* A thread that would not stop cannot be detached from; our exit does that. */
	if (error)
		return error;
	*ret = (struct remote){ .pid = pid, .stopped_at_ns = clock_monotonic_ns() };
	return 0;
}

/*
 * The kernel forgets a restartable sequence when it sees the thread run outside of it, which is
 * what our call looks like. Put back at the end, it makes the kernel abort the sequence, as it
 * would have done for any preemption.
 */
static void save_rseq(struct remote *remote)
{
	struct __ptrace_rseq_configuration rseq = { 0 };

	if (trace(PTRACE_GET_RSEQ_CONFIGURATION, remote->pid, sizeof(rseq), (unsigned long)&rseq) <
			0 ||
		!rseq.rseq_abi_pointer)
		return;
	remote->rseq_cs_address = rseq.rseq_abi_pointer + RSEQ_CS_OFFSET;
	if (memory_read(remote->pid, remote->rseq_cs_address, &remote->rseq_cs,
		    sizeof(remote->rseq_cs)) < 0)
		remote->rseq_cs = 0;
}

int remote_prepare(struct remote *remote, const struct layout *layout)
{
	const uint64_t all_blocked = UINT64_MAX; /* the kernel leaves SIGKILL and SIGSTOP out */
	sigset_t all;
	int error = arch_registers_read(remote->pid, &remote->registers);

	if (error)
		return error;
	remote->instruction = layout->instruction;
	remote->scratch = layout_scratch(
		layout, arch_stack_pointer(&remote->registers), REMOTE_SCRATCH_BYTES);
	if (!remote->scratch)
		return -EFAULT;
	error = memory_read(
		remote->pid, remote->scratch, remote->borrowed, sizeof(remote->borrowed));
	if (error)
		return error == -EIO ? -EFAULT : error; /* ptrace's word for an unmapped address */
	save_rseq(remote);
	error = trace(PTRACE_GETSIGMASK, remote->pid, sizeof(remote->signal_mask),
		(unsigned long)&remote->signal_mask);
	if (error)
		return error;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, &remote->own_mask);
	error = trace(
		PTRACE_SETSIGMASK, remote->pid, sizeof(all_blocked), (unsigned long)&all_blocked);
	if (error)
		(void)sigprocmask(SIG_SETMASK, &remote->own_mask, NULL);
	return error;
}

int remote_scratch_write(struct remote *remote, const void *bytes, size_t length)
{
	return memory_write(remote->pid, remote->scratch, bytes, length);
}

int remote_scratch_read(struct remote *remote, void *ret_bytes, size_t length)
{
	return memory_read(remote->pid, remote->scratch, ret_bytes, length);
}

void remote_describe_call(const struct remote *remote, long number, uint64_t argument0,
	uint64_t argument1, struct seccomp_data *ret)
{
	*ret = (struct seccomp_data){ .nr = (int)number,
		.arch = arch_audit,
		.instruction_pointer = remote->instruction + arch_call_instruction_bytes,
		.args = { argument0, argument1 } };
}

/*
 * Every signal that can be blocked is. What comes all the same is SIGSTOP, which is handed over at
 * the end, or a fault of our own call, which the target must never see.
 */
static void remember_signal(struct remote *remote, const struct remote_stop *stop)
{
	remote->in_call = false;
	if (stop->signal == SIGSTOP)
		remote->pending_signal = SIGSTOP;
}

/* A stop that we did not ask for: the call has not been made. */
static int call_prevented(struct remote *remote, const struct remote_stop *stop)
{
	remember_signal(remote, stop);
	return -EAGAIN;
}

static int enter_call(struct remote *remote, const struct arch_call *call)
{
	struct arch_registers registers;
	struct remote_stop stop;
	int error = remote_wait(remote->pid, clock_monotonic_ns() + ENTRY_NS, &stop);

	if (error == -ETIMEDOUT) {
		/* Frozen by its cgroup: this gets it out of a v2 freezer; a v1 freezer holds on to
		 * it, and to us, until it is thawed. */
		(void)trace(PTRACE_INTERRUPT, remote->pid, 0, 0);
		error = remote_wait(remote->pid, REMOTE_FOREVER, &stop);
	}
	if (error)
		return error;
	if (stop.kind != REMOTE_STOP_CALL)
		return call_prevented(remote, &stop);
	remote->in_call = true;
	error = arch_registers_read(remote->pid, &registers);
	if (error)
		return error;
	return arch_entered(&registers, call) ? 0 : -EAGAIN;
}

/* ERESTARTSYS to ERESTART_RESTARTBLOCK (include/linux/errno.h): the kernel wants to do it again. */
static bool result_is_restart(int64_t result)
{
	return result <= -512 && result >= -516;
}

int remote_call(struct remote *remote, long number, uint64_t argument0, uint64_t argument1,
	int64_t *ret_result)
{
	const struct arch_call call = { remote->instruction, number, { argument0, argument1 } };
	struct arch_registers registers = remote->registers;
	struct remote_stop stop;
	int error;

	arch_set_call(&registers, &call);
	error = arch_registers_write(remote->pid, &registers);
	if (!error)
		error = trace(PTRACE_SYSCALL, remote->pid, 0, 0);
	if (!error)
		error = enter_call(remote, &call);
	if (!error)
		error = trace(PTRACE_SYSCALL, remote->pid, 0, 0);
	/* No deadline: it runs in the kernel now, and letting go of it here would lose it. */
	if (!error)
		error = remote_wait(remote->pid, REMOTE_FOREVER, &stop);
	if (error)
		return error;
	if (stop.kind != REMOTE_STOP_CALL)
		return call_prevented(remote, &stop);
	error = arch_registers_read(remote->pid, &registers);
	if (error)
		return error;
	/* A thread cannot be made while something wants to stop the caller. */
	if (result_is_restart(arch_result(&registers)))
		return -EAGAIN;
	*ret_result = arch_result(&registers);
	return 0;
}

/*
 * From the entry or exit of a call to a stop where the kernel looks at signals. Only on the way out
 * of one of those does it restart the call that the target had been in.
 */
static int leave_call(struct remote *remote)
{
	struct arch_registers registers;
	struct remote_stop stop;
	int error;

	if (!remote->in_call)
		return 0;
	error = arch_registers_read(remote->pid, &registers);
	if (error)
		return error;
	arch_forget_call(&registers);
	error = arch_registers_write(remote->pid, &registers);
	if (!error)
		error = trace(PTRACE_INTERRUPT, remote->pid, 0, 0);
	if (!error)
		error = trace(PTRACE_CONT, remote->pid, 0, 0);
	if (!error)
		error = remote_wait(remote->pid, REMOTE_FOREVER, &stop);
	if (error)
		return error;
	remember_signal(remote, &stop);
	return 0;
}

int remote_cure(struct remote *remote)
{
	int error = leave_call(remote);

	if (!error)
		error = memory_write(
			remote->pid, remote->scratch, remote->borrowed, sizeof(remote->borrowed));
	if (!error && remote->rseq_cs)
		(void)memory_write(remote->pid, remote->rseq_cs_address, &remote->rseq_cs,
			sizeof(remote->rseq_cs));
	if (arch_registers_write(remote->pid, &remote->registers) < 0)
		error = -ESRCH;
	(void)trace(PTRACE_SETSIGMASK, remote->pid, sizeof(remote->signal_mask),
		(unsigned long)&remote->signal_mask);
	(void)sigprocmask(SIG_SETMASK, &remote->own_mask, NULL);
	return error;
}

uint64_t remote_resume(struct remote *remote)
{
	struct arch_registers registers;

	if (!arch_registers_read(remote->pid, &registers) && arch_resume_wait(&registers))
		(void)arch_registers_write(remote->pid, &registers);
	(void)trace(PTRACE_DETACH, remote->pid, 0, (unsigned long)remote->pending_signal);
	return clock_monotonic_ns() - remote->stopped_at_ns;
}
