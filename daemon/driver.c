// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/target.h"

/* Programs that write KSM's knobs by themselves, by the name in /proc/PID/stat (cut at 15 bytes). */
static const char *const other_drivers[] = { "ksmtuned", "momd", "virt-handler" };

void driver_init(struct driver *driver)
{
	*driver = (struct driver){ .lock_fd = -1, .status = DRIVER_NO_KSM };
}

void driver_done(struct driver *driver)
{
	close_fd(driver->lock_fd);
	free(driver->reason);
	driver_init(driver);
}

const char *driver_name(const struct driver *driver)
{
	switch (driver->status) {
	case DRIVER_READY:
		return "pagefold";
	case DRIVER_OTHER_PAGEFOLD:
		return "another pagefold";
	case DRIVER_OTHER_OWNER:
		return "other";
	case DRIVER_STAND_BY:
		return "stand-by";
	case DRIVER_NO_KSM:
		return "none";
	}
	return "none";
}

/* A name is anybody's to take; KSM's knobs are root's to write. */
static bool is_roots(const struct host_root *root, pid_t pid)
{
	_cleanup_free_ char *status = NULL;
	unsigned real, effective;
	const char *line;

	if (host_root_read_process(root, pid, "status", &status, NULL) < 0)
		return false;
	line = strstr(status, "\nUid:");
	return line && sscanf(line, "\nUid: %u %u", &real, &effective) == 2 && effective == 0;
}

static pid_t other_driver_find(const struct host_root *root, const struct process_table *processes,
	const char **ret_name)
{
	for (size_t i = 0; i < processes->count; i++) {
		const struct process_entry *process = &processes->entries[i];

		for (size_t n = 0; n < ARRAY_SIZE(other_drivers); n++) {
			if (strcmp(process->comm, other_drivers[n]) || !is_roots(root, process->pid))
				continue;
			*ret_name = other_drivers[n];
			return process->pid;
		}
	}
	return 0;
}

static void driver_set(struct driver *driver, enum driver_status status)
{
	driver->status = status;
	if (status == DRIVER_READY) {
		free(driver->reason);
		driver->reason = NULL;
	}
}

/* Whether somebody else drives; fills status and reason if so. */
static bool other_owner_survey(struct driver *driver, const struct host_root *root,
	const struct process_table *processes, const struct ksm_knobs *knobs)
{
	const char *name = NULL;
	const pid_t pid = other_driver_find(root, processes, &name);

	if (pid) {
		text_set(&driver->reason,
			"%s (pid %d) drives ksmd; stop it, or set ksm-owner = pagefold", name,
			(int)pid);
	} else if (knobs->run == 1 && !driver->owes) {
		text_set(&driver->reason,
			"ksmd is running and pagefold did not start it; write 0 to "
			"/sys/kernel/mm/ksm/run, or set ksm-owner = pagefold");
	} else {
		return false;
	}
	driver_set(driver, DRIVER_OTHER_OWNER);
	return true;
}

static int lock_take(struct driver *driver, const struct host_root *root)
{
	return driver->lock_fd >= 0 ? 0 : ksm_driver_lock(root, &driver->lock_fd);
}

static void lock_refused(struct driver *driver, int error)
{
	if (error == -EWOULDBLOCK) {
		driver_set(driver, DRIVER_OTHER_PAGEFOLD);
		text_set(&driver->reason,
			"another pagefoldd on this host drives ksmd; this one only observes");
	} else {
		driver_set(driver, DRIVER_NO_KSM);
		text_set(&driver->reason, "/sys/kernel/mm/ksm/run cannot be locked: %s",
			strerror(-error));
	}
}

int driver_restore(struct driver *driver, const struct host_root *root, bool keep_stopped)
{
	struct ksm_knobs knobs = driver->owed;
	int error;

	if (!driver->owes)
		return 0;
	if (knobs.run == 2)
		knobs.run = 0; /* writing 2 again would unmerge the whole host again */
	if (keep_stopped && knobs.run == 1) {
		knobs.run = 0;
		return ksm_knobs_write(root, &knobs);
	}
	error = ksm_knobs_write(root, &knobs);
	if (!error)
		driver->owes = false;
	return error;
}

/* ksmd is somebody else's from now on: what is owed is given back at once, and then the lock. */
static void driver_step_down(struct driver *driver, const struct host_root *root)
{
	if (driver->owes && (lock_take(driver, root) < 0 || driver_restore(driver, root, false) < 0))
		return; /* tried again in the next pass */
	close_fd(driver->lock_fd);
	driver->lock_fd = -1;
}

void driver_survey(struct driver *driver, const struct host_root *root,
	const struct process_table *processes, enum ksm_owner owner)
{
	struct ksm_knobs knobs;
	int error;

	error = ksm_knobs_read(root, &knobs);
	if (error) {
		driver_set(driver, DRIVER_NO_KSM);
		text_set(&driver->reason, "this kernel has no KSM (/sys/kernel/mm/ksm: %s): nothing "
					  "can be merged, VMs are only observed", strerror(-error));
		return;
	}
	if (owner == KSM_OWNER_STAND_BY) {
		driver_set(driver, DRIVER_STAND_BY);
		driver_step_down(driver, root);
		text_set(&driver->reason, "ksm-owner = stand-by: VMs are only observed");
		return;
	}
	error = lock_take(driver, root);
	if (error) {
		lock_refused(driver, error);
		return;
	}
	if (owner == KSM_OWNER_AUTO && other_owner_survey(driver, root, processes, &knobs))
		return;
	driver_set(driver, DRIVER_READY);
}
