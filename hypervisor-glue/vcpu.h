/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether a VM has ever run, by what the kernel says of its virtual CPUs: nobody is asked anything.
 */
#ifndef PAGEFOLD_GLUE_VCPU_H
#define PAGEFOLD_GLUE_VCPU_H

#include <sys/types.h>

#include "hypervisor-glue/host_root.h"

enum vcpu_past {
	VCPU_PAST_UNKNOWN, /* its virtual CPUs cannot be told from its other threads */
	VCPU_PAST_IDLE,    /* none of them has run so far */
	VCPU_PAST_RUN,
};

/*
 * Under KVM the kernel counts the time inside the guest. Where QEMU translates, its threads tell,
 * if they have names of their own (-name debug-threads=on, as libvirt and Proxmox start it). 0,
 * -ESRCH, -errno.
 */
int vcpu_past_read(const struct host_root *root, pid_t pid, enum vcpu_past *ret);

#endif
