/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state record: what we did to processes and to KSM's knobs, on disk before it is done. Adoption
 * after a restart, recovery after kill -9 and exact undo live on it; a mark that is not in it is not
 * ours. STATE_DIR/state.json, replaced atomically and synced.
 *
 * A record of an earlier boot says nothing about this one, except that the operator had paused us.
 */
#ifndef PAGEFOLD_DAEMON_STATE_H
#define PAGEFOLD_DAEMON_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/extent.h"
#include "daemon/policy.h"
#include "hypervisor-glue/host_memory.h"
#include "hypervisor-glue/ksm.h"
#include "hypervisor-glue/process.h"

struct state_extent {
	uint64_t start, end;
	uint8_t advice; /* enum huge_advice before the mark */
	uint16_t zero_before;
	bool was_huge;
	uint8_t *shared_before; /* one map count a page, or NULL; owned */
};

struct state_target {
	struct process_id id;
	bool held; /* released by the operator: stays so */
	bool inherited; /* it has the marks from the process that it was forked from */
	uint64_t marked_since_ticks; /* of the boot clock: when the first of them was made; 0: none, or not known */
	char *held_policy; /* what it was asked for then: a change of it ends the hold; NULL unless held */
	struct state_extent *extents;
	size_t extent_count;
};

struct state {
	char boot_id[BOOT_ID_BYTES];
	bool paused;
	char active_group[POLICY_GROUP_BYTES]; /* "": none yet */
	bool have_knobs;        /* we changed KSM's knobs and owe them back: */
	struct ksm_knobs knobs; /* as they were */
	struct state_target *targets;
	size_t target_count;
};

/* Missing file: an empty state. A file that cannot be read as a state is -EBADMSG: the caller stops,
 * rather than forget what is marked. boot_id is this boot's. */
int state_load(const char *state_dir, const char *boot_id, struct state *ret);
/* The same over the text of such a file. */
int state_parse(const char *text, size_t length, const char *boot_id, struct state *ret);
/* Returns after the record is on disk. 0 or -errno (the old record stands then). */
int state_save(const char *state_dir, const struct state *state);
void state_done(struct state *state);

const struct state_target *state_find(const struct state *state, struct process_id id);
/* Takes the process out of the record; none there is fine. */
void state_forget(struct state *state, struct process_id id);
/* Whether a process with this pid, perhaps another one, is in the record. */
bool state_find_pid(const struct state *state, pid_t pid);

#endif
