/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtual machine monitors in /proc: QEMU by its executable, any other by the kvm-vm descriptor it
 * holds. What a command line says is the VMM's own word: hostile text, checked and bounded.
 */
#ifndef PAGEFOLD_GLUE_VMM_H
#define PAGEFOLD_GLUE_VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor-glue/host_root.h"
#include "hypervisor-glue/process.h"

#define VMM_NAME_BYTES 256
#define VMM_UUID_BYTES 37
#define VMM_QMP_PATH_BYTES 108 /* what a Unix socket's address holds */

/* What QEMU's command line declares; empty or 0 where it is silent. */
struct qemu_cmdline {
	char name[VMM_NAME_BYTES]; /* -name NAME or -name guest=NAME,...; ",," is a comma */
	char uuid[VMM_UUID_BYTES]; /* -uuid, canonical lower case; anything else is dropped */
	uint64_t ram_bytes;        /* -m; QEMU's default unit is MiB */
	bool incoming;             /* -incoming was given: guest RAM may still be arriving */
	bool by_libvirt;   /* libvirt's own monitor is on it: libvirt started it */
	/* A QMP socket of QEMU's own, absolute; never the one libvirt holds ("charmonitor"). */
	char qmp_path[VMM_QMP_PATH_BYTES];
	bool confidential; /* SEV, TDX or s390 PV guest object: RAM is encrypted or guest_memfd */
};

struct vmm {
	struct process_id id;
	bool is_qemu;
	bool has_vfio;               /* holds a VFIO, iommufd or vDPA descriptor: RAM is pinned */
	struct qemu_cmdline cmdline; /* name falls back to comm */
};

/* cmdline: the bytes of /proc/PID/cmdline, NUL-separated. Never fails: the malformed is empty. */
void qemu_cmdline_parse(const char *cmdline, size_t length, struct qemu_cmdline *ret);

/* Every VMM on the host, by ascending pid, in memory the caller frees. A process that ends while it
 * is looked at, or that cannot be looked at, is left out. 0, -ENOMEM, -EMFILE, -ENFILE or what went
 * wrong with /proc itself. */
int vmm_list(const struct host_root *root, struct vmm **ret_vmms, size_t *ret_count);
/* One process, whether it is a VMM or not: *ret_is_vmm. */
int vmm_read(const struct host_root *root, pid_t pid, struct vmm *ret, bool *ret_is_vmm);

#endif
