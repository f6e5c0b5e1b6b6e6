// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/ring_call.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "hypervisor-glue/attach/seccomp_gate.h"

_Static_assert(sizeof(struct io_uring_params) <= REMOTE_SCRATCH_BYTES, "params fit");

/* A filter might look at close()'s argument, so this is asked again with the real one. */
#define LIKELY_DESCRIPTOR 3

static int gate_check(const struct seccomp_gate *gate, const struct remote *remote, long number,
	uint64_t argument0, uint64_t argument1, struct refusal *why)
{
	struct seccomp_data call;

	remote_describe_call(remote, number, argument0, argument1, &call);
	return seccomp_gate_check(
		gate, &call, number == SYS_close ? "close" : "io_uring_setup", why);
}

static int explain_prevented(const struct target *target, int error, struct refusal *why)
{
	if (error == -ESRCH || !target_alive(target))
		return refuse(
			why, -ESRCH, "process %d ended while it was attached to", target->pid);
	return refuse(why, error,
		"process %d was stopped or frozen just now: continue it, and the next attempt "
		"succeeds",
		target->pid);
}

/* io_uring_setup() in the target. On success the descriptor's number there. */
static int setup(const struct target *target, struct remote *remote, struct io_uring_params *ret,
	struct refusal *why)
{
	struct io_uring_params params = { .flags = ATTACH_RING_FLAGS,
		.sq_thread_idle = ATTACH_RING_IDLE_MS };
	int64_t result = 0;
	int error = remote_scratch_write(remote, &params, sizeof(params));

	if (!error)
		error = remote_call(
			remote, SYS_io_uring_setup, ATTACH_RING_ENTRIES, remote->scratch, &result);
	if (error)
		return explain_prevented(target, error, why);
	if (result < 0)
		return target_explain_setup(target, (int)result, why);
	error = remote_scratch_read(remote, ret, sizeof(*ret));
	return error ? explain_prevented(target, error, why) : (int)result;
}

/* close() in the target. Whether it was made. */
static bool close_there(struct remote *remote, const struct seccomp_gate *gate, int descriptor)
{
	struct refusal unsaid;
	int64_t result;

	return !gate_check(gate, remote, SYS_close, (uint64_t)descriptor, 0, &unsaid) &&
	       !remote_call(remote, SYS_close, (uint64_t)descriptor, 0, &result);
}

/* Everything between prepare and cure. */
static int make_ring(const struct target *target, struct remote *remote,
	const struct seccomp_gate *gate, struct attach_reply *ret, struct refusal *why)
{
	const int descriptor = setup(target, remote, &ret->params, why);
	_cleanup_close_ int fd = -1;
	int error;

	if (descriptor < 0)
		return descriptor;
	fd = (int)syscall(SYS_pidfd_getfd, target->pidfd, descriptor, 0);
	error = fd < 0 ? -errno : 0;
	ret->descriptor_left_open = !close_there(remote, gate, descriptor);
	if (error)
		return refuse(why, error,
			"the ring made in process %d could not be fetched (%s): look for a "
			"security "
			"module that forbids pidfd_getfd",
			target->pid, strerror(-error));
	ret->descriptor = steal_fd(&fd);
	return 0;
}

static int explain_prepare(const struct target *target, int error, struct refusal *why)
{
	switch (error) {
	case -ENOEXEC:
		return refuse(why, error,
			"process %d runs 32-bit code: only 64-bit processes can be folded through "
			"the "
			"ring",
			target->pid);
	case -EFAULT:
		return refuse(why, error,
			"process %d has no room left on its stack just now: the next attempt may "
			"succeed",
			target->pid);
	default:
		return explain_prevented(target, error, why);
	}
}

int ring_call(const struct target *target, struct remote *remote, const struct layout *layout,
	struct attach_reply *ret, struct refusal *why)
{
	_cleanup_(seccomp_gate_done) struct seccomp_gate gate = { 0 };
	int error = seccomp_gate_read(target->pid, &gate, why);

	if (error)
		return error;
	error = remote_prepare(remote, layout);
	if (error)
		return explain_prepare(target, error, why);
	error = gate_check(
		&gate, remote, SYS_io_uring_setup, ATTACH_RING_ENTRIES, remote->scratch, why);
	if (!error)
		error = gate_check(&gate, remote, SYS_close, LIKELY_DESCRIPTOR, 0, why);
	if (!error)
		error = make_ring(target, remote, &gate, ret, why);
	if (remote_cure(remote) < 0 && !error)
		error = explain_prevented(target, -ESRCH, why);
	if (error) {
		close_fd(ret->descriptor);
		ret->descriptor = -1;
	}
	return error;
}
