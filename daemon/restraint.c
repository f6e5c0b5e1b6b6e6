// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/restraint.h"

#include <stdlib.h>

#include "daemon/core.h"
#include "daemon/pressure.h"
#include "hypervisor-glue/host_memory.h"
#include "hypervisor-glue/host_pressure.h"

/* The host at one moment. */
struct outlook {
	struct pressure pressure;
	struct exposure exposure;
};

static int outlook_read(const struct core *core, struct outlook *ret)
{
	double stalled_percent = PRESSURE_NOT_MEASURED;
	struct host_memory memory;
	uint64_t exposed_bytes = 0;
	const int error = host_memory_read(&core->root, &memory);

	if (error)
		return error;
	(void)host_pressure_read(&core->root, &stalled_percent); /* not every kernel measures it */
	for (size_t i = 0; i < core->registry.count; i++)
		exposed_bytes += (uint64_t)core->registry.targets[i]->exposure_bytes;
	*ret = (struct outlook){
		.pressure = { memory.total_bytes, memory.available_bytes, stalled_percent },
		.exposure = { memory.total_bytes, memory.available_bytes, memory.swap_free_bytes,
			exposed_bytes },
	};
	return 0;
}

/* What follows from it, but for the words. */
static struct restraint outlook_judge(const struct core *core, const struct outlook *outlook)
{
	const struct restraint *before = &core->restraint;
	struct restraint now = {
		.pressed = pressure_is_on(&outlook->pressure, before->pressed),
		.level = exposure_judge(&outlook->exposure, before->level),
	};

	now.limited = now.level != EXPOSURE_COVERED;
	now.allowance_pages = exposure_allowance_bytes(&outlook->exposure, now.level) / PAGE_BYTES;
	now.waiting = "waits: little memory would be left if every fold broke";
	if (core->config.fold_when == FOLD_PRESSURE && !now.pressed) {
		now.limited = true;
		now.allowance_pages = 0;
		now.waiting = "waits until memory gets short (fold-when = pressure)";
	}
	return now;
}

bool restraint_look(struct core *core)
{
	const bool held_back = restraint_holds_back(&core->restraint);
	struct restraint now;
	struct outlook outlook;
	char *exposure = NULL;

	if (outlook_read(core, &outlook) < 0)
		return false;
	now = outlook_judge(core, &outlook);
	if (now.level != EXPOSURE_COVERED && outlook.exposure.exposed_bytes)
		exposure = exposure_text(&outlook.exposure, now.level);
	if (exposure)
		sentences_add(&core->warnings, "%s", exposure);
	if (now.level == EXPOSURE_UNCOVERED)
		now.reason = steal_pointer(&exposure);
	else if (restraint_holds_back(&now))
		now.reason = pressure_text(&outlook.pressure);
	free(exposure);
	restraint_done(&core->restraint);
	core->restraint = now;
	return held_back && !restraint_holds_back(&now);
}

bool restraint_lifts(const struct core *core)
{
	struct restraint now;
	struct outlook outlook;

	if (!restraint_holds_back(&core->restraint) || outlook_read(core, &outlook) < 0)
		return false;
	now = outlook_judge(core, &outlook);
	return !restraint_holds_back(&now);
}

void restraint_done(struct restraint *restraint)
{
	free(restraint->reason);
	*restraint = (struct restraint){ 0 };
}
