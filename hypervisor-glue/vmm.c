// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_qemu_path(const char *path)
{
	const char *const slash = strrchr(path, '/');
	const char *const name = slash ? slash + 1 : path;

	/* qemu-kvm: Red Hat and SUSE; kvm: Debian's and Proxmox's wrapper. */
	return starts_with(name, "qemu-system-") || !strcmp(name, "qemu-kvm") ||
	       !strcmp(name, "kvm");
}

struct descriptors {
	bool kvm_vm, vfio;
};

static void look_at_link(const char *target, struct descriptors *ret)
{
	if (!strcmp(target, "anon_inode:kvm-vm"))
		ret->kvm_vm = true;
	/* vhost-vdpa pins all of guest RAM, as VFIO does. */
	if (starts_with(target, "/dev/vfio/") || starts_with(target, "anon_inode:[vfio") ||
		!strcmp(target, "/dev/iommu") || starts_with(target, "/dev/vhost-vdpa"))
		ret->vfio = true;
}

static int look_at_descriptors(const struct host_root *root, pid_t pid, struct descriptors *ret)
{
	_cleanup_closedir_ DIR *directory = NULL;
	struct descriptors found = { 0 };
	const struct dirent *entry;
	int error;

	error = host_root_process_directory(root, pid, "fd", &directory);
	if (error)
		return error;
	while ((entry = readdir(directory))) {
		char target[PATH_MAX];
		const ssize_t length =
			readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);

		if (length < 0) /* "." and "..", or closed meanwhile */
			continue;
		target[length] = '\0';
		look_at_link(target, &found);
	}
	*ret = found;
	return 0;
}

/* -ENOENT for kernel threads and zombies, -EACCES without the right to look: no VMM of ours. */
static bool is_nobody(int error)
{
	return error == -ENOENT || error == -EACCES || error == -EPERM;
}

static int read_cmdline(
	const struct host_root *root, pid_t pid, const char *comm, struct qemu_cmdline *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t length;
	const int r = host_root_read_process(root, pid, "cmdline", &text, &length);

	if (r < 0)
		return r;
	qemu_cmdline_parse(text, length, ret);
	if (!*ret->name)
		(void)snprintf(ret->name, sizeof(ret->name), "%s", comm);
	return 0;
}

/* Nothing that is not a VMM costs more than a readlink per descriptor. */
static int look_at_process(
	const struct host_root *root, pid_t pid, struct vmm *ret, bool *ret_is_vmm)
{
	_cleanup_free_ char *exe = NULL;
	struct vmm vmm = { .id.pid = pid };
	struct descriptors descriptors = { 0 };
	struct process_stat stat;
	int r;

	r = process_exe_read(root, pid, &exe);
	if (r == 0)
		r = look_at_descriptors(root, pid, &descriptors);
	if (r == 0)
		r = process_stat_read(root, pid, &stat);
	if (r < 0)
		return r;
	vmm.id.start_ticks = stat.start_ticks;
	vmm.is_qemu = is_qemu_path(exe);
	vmm.has_vfio = descriptors.vfio;
	*ret_is_vmm = vmm.is_qemu || descriptors.kvm_vm;
	if (*ret_is_vmm)
		r = read_cmdline(root, pid, stat.comm, &vmm.cmdline);
	*ret = vmm;
	return r;
}

int vmm_read(const struct host_root *root, pid_t pid, struct vmm *ret, bool *ret_is_vmm)
{
	struct process_stat before, after;
	bool is_vmm = false;
	struct vmm vmm;
	int r;

	/* The pid may be recycled between any two looks: the same start time before and after means
	 * that all of it was one process. */
	r = process_stat_read(root, pid, &before);
	if (r < 0)
		return r;
	r = look_at_process(root, pid, &vmm, &is_vmm);
	if (r == 0)
		r = process_stat_read(root, pid, &after);
	if (is_nobody(r)) {
		*ret_is_vmm = false;
		return 0;
	}
	if (r < 0)
		return r;
	if (before.start_ticks != after.start_ticks || vmm.id.start_ticks != after.start_ticks)
		return -ESRCH;
	*ret = vmm;
	*ret_is_vmm = is_vmm;
	return 0;
}

int vmm_list(const struct host_root *root, struct vmm **ret_vmms, size_t *ret_count)
{
	_cleanup_free_ pid_t *pids = NULL;
	_cleanup_free_ struct vmm *vmms = NULL;
	size_t pid_count, count = 0, capacity = 0;
	int r;

	r = process_list(root, &pids, &pid_count);
	if (r < 0)
		return r;
	for (size_t i = 0; i < pid_count; i++) {
		struct vmm vmm;
		bool is_vmm;

		r = vmm_read(root, pids[i], &vmm, &is_vmm);
		if (process_error_is_ours(r))
			return r;
		if (r < 0 || !is_vmm)
			continue;
		if (count == capacity) {
			const size_t wanted = capacity ? capacity * 2 : 16;
			struct vmm *const grown = reallocarray(vmms, wanted, sizeof(*grown));

			if (!grown)
				return -ENOMEM;
			vmms = grown;
			capacity = wanted;
		}
		vmms[count++] = vmm;
	}
	*ret_vmms = steal_pointer(&vmms);
	*ret_count = count;
	return 0;
}
