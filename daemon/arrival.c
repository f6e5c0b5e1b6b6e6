// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/arrival.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/log.h"
#include "hypervisor-glue/qmp.h"
#include "hypervisor-glue/vcpu.h"

/* It answers in a millisecond, or is busy with what arrives: then the next pass asks again. */
#define ANSWER_NS (200 * NS_PER_MS)

/* QEMU's own word, where it listens for anybody who asks. Not over libvirt, which marks a domain as
 * tainted whose monitor is used. */
static bool qemu_says_arrived(const struct guest *guest)
{
	const struct vmm *vmm = &guest->vmm;
	_cleanup_free_ char *command = NULL, *reply = NULL;
	char reason[QMP_REASON_BYTES];
	bool incoming = true;

	if (!vmm->is_qemu || !vmm->cmdline.qmp_path[0])
		return false;
	command = qmp_command("query-status", NULL);
	if (!command || qmp_execute(vmm->cmdline.qmp_path, guest->process.id.pid, command,
				clock_monotonic_ns() + ANSWER_NS, &reply, reason) < 0)
		return false;
	return qmp_status_parse(reply, strlen(reply), &incoming, reason) == 0 && !incoming;
}

/* In the order of what it costs. That a virtual CPU has run says enough: what arrives after that,
 * by post-copy, is registered with userfaultfd, and the map stage leaves that out. */
static bool shows_arrival(const struct core *core, const struct target *target)
{
	enum vcpu_past past = VCPU_PAST_UNKNOWN;

	/* Only what had arrived was ever marked. */
	if (target_has_marks(target))
		return true;
	if (target->is_domain && !target->domain_arriving)
		return true;
	if (vcpu_past_read(&core->root, target_pid(target), &past) < 0)
		return false;
	if (past != VCPU_PAST_UNKNOWN || target->is_domain)
		return past == VCPU_PAST_RUN;
	return qemu_says_arrived(&target->guest);
}

bool arrival_is_over(struct core *core, struct target *target)
{
	if (target->arrived)
		return true;
	target->arrived = !target->guest.vmm.cmdline.incoming;
	if (target->arrived)
		return true;
	target->arrived = shows_arrival(core, target);
	if (target->arrived)
		log_info("%s (pid %d): has arrived", target_name(target), (int)target_pid(target));
	return target->arrived;
}

const char *arrival_text(const struct target *target)
{
	if (target->arrived || !target->guest.vmm.cmdline.incoming)
		return NULL;
	if (target->is_domain || target->guest.vmm.cmdline.qmp_path[0])
		return "an incoming migration, or being restored: it is left alone until it runs";
	return "an incoming migration, or being restored: it is left alone until it is seen to run "
	       "(QEMU without KVM shows that where it has -name debug-threads=on or a QMP socket)";
}
