/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The one thing the helper is for: a ring that belongs to the target, and its descriptor here. */
#ifndef PAGEFOLD_ATTACH_RING_CALL_H
#define PAGEFOLD_ATTACH_RING_CALL_H

#include "hypervisor-glue/attach/attach_protocol.h"
#include "hypervisor-glue/attach/layout.h"
#include "hypervisor-glue/attach/refusal.h"
#include "hypervisor-glue/attach/remote.h"
#include "hypervisor-glue/attach/target.h"

/*
 * In a target that remote_stop() holds: io_uring_setup(), fetch the descriptor, close() the
 * target's own. Fills ret's params, descriptor and descriptor_left_open; the descriptor is the
 * caller's to close. On failure -errno, the reason, and a target as it was (a descriptor that could
 * not be closed may be left; it can do nothing).
 */
int ring_call(const struct target *target, struct remote *remote, const struct layout *layout,
	struct attach_reply *ret, struct refusal *why);

#endif
