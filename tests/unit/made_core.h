/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A core with targets that are nobody's processes, for stages that only compute. */
#ifndef PAGEFOLD_TESTS_MADE_CORE_H
#define PAGEFOLD_TESTS_MADE_CORE_H

#include <string.h>

#include "daemon/core.h"
#include "tests/unit/made_memory.h"

/* Mapped, asked to fold, in group; of so many extents. Add them by ascending pid. */
static inline struct target *made_target(
	struct core *core, pid_t pid, const char *group, size_t extents)
{
	struct registry *registry = &core->registry;
	struct target *target = calloc(1, sizeof(*target));
	struct target **targets = reallocarray(
		registry->targets, registry->count + 1, sizeof(struct target *));

	assert_non_null(target);
	assert_non_null(targets);
	registry->targets = targets;
	targets[registry->count++] = target;
	target->guest.process = (struct process){ .id = { pid, 1 }, .pidfd = -1 };
	target->guest.pagemap =
		(struct pagemap){ .fd = -1, .kpageflags_fd = -1, .kpagecount_fd = -1 };
	target->guest.is_vm = true;
	(void)snprintf(target->guest.vmm.cmdline.name, sizeof(target->guest.vmm.cmdline.name),
		"vm%d", (int)pid);
	policy_init(&target->policy, MODE_MERGE);
	(void)snprintf(target->policy.group, sizeof(target->policy.group), "%s", group);
	target->present = target->mapped = true;
	made_map_init(&target->guest.map, extents);
	target->guest.ram_bytes = extents * EXTENT_BYTES;
	return target;
}

static inline void made_core_done(struct core *core)
{
	registry_done(&core->registry);
	plan_done(&core->plan);
	restraint_done(&core->restraint);
	sentences_clear(&core->blocked_by);
	sentences_clear(&core->warnings);
	sentences_clear(&core->findings);
	free(core->driver.reason);
	*core = (struct core){ 0 };
}

#endif
