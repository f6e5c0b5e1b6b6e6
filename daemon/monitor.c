// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hypervisor-glue/qmp.h"
#include "hypervisor-glue/vmm.h"

static int ask(struct core *core, const struct vmm *vmm, const char *command, uint64_t deadline_ns,
	char **ret_reply, char reason[HOOK_REASON_BYTES])
{
	int error = -ENOENT;

	if (core->links && vmm->cmdline.uuid[0])
		error = links_monitor(core->links, vmm->cmdline.uuid, command, deadline_ns,
			ret_reply, reason);
	if (error != -ENOENT)
		return error;
	if (vmm->cmdline.qmp_path[0])
		return qmp_execute(vmm->cmdline.qmp_path, vmm->id.pid, command, deadline_ns,
			ret_reply, reason);
	snprintf(reason, HOOK_REASON_BYTES,
		"its monitor cannot be reached: no libvirt of libvirt-uri knows it, and its command "
		"line has no QMP socket (-qmp unix:PATH,server=on,wait=off)");
	return -ENOENT;
}

int monitor_command(void *data, const struct process *process, const char *command,
	uint64_t deadline_ns, char **ret_reply, char reason[HOOK_REASON_BYTES])
{
	struct core *core = data;
	struct vmm vmm = { 0 };
	bool is_vmm = false;
	int error = vmm_read(&core->root, process->id.pid, &vmm, &is_vmm);

	if (!error && (!is_vmm || !process_id_equal(vmm.id, process->id)))
		error = -ESRCH;
	if (error) {
		snprintf(reason, HOOK_REASON_BYTES, "it cannot be looked at: %s", strerror(-error));
		return error;
	}
	interrupt_expect_silence(core->interrupt, deadline_ns);
	error = ask(core, &vmm, command, deadline_ns, ret_reply, reason);
	(void)interrupt_raised(core->interrupt); /* a heartbeat: the silence is over */
	return error;
}
