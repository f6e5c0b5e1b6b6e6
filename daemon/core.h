/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the pass thread works with, from start to stop. The stages of a pass are functions over it;
 * nobody else touches it while that thread runs, except through its interrupt.
 */
#ifndef PAGEFOLD_DAEMON_CORE_H
#define PAGEFOLD_DAEMON_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "daemon/audit.h"
#include "daemon/budget.h"
#include "daemon/canary.h"
#include "daemon/config.h"
#include "daemon/crew.h"
#include "daemon/driver.h"
#include "daemon/features.h"
#include "daemon/forecast.h"
#include "daemon/interrupt.h"
#include "daemon/links.h"
#include "daemon/newcomers.h"
#include "daemon/plan.h"
#include "daemon/policy.h"
#include "daemon/recount.h"
#include "daemon/registry.h"
#include "daemon/rest.h"
#include "daemon/restraint.h"
#include "daemon/state.h"
#include "hypervisor-glue/host_memory.h"
#include "hypervisor-glue/numa.h"

/* Sentences for `status`, in the order they came up. */
struct sentences {
	char **texts; /* NULL-terminated once there is one */
	size_t count;
};

struct core {
	/* fixed */
	struct host_root root;
	struct numa_nodes nodes;
	struct features features;
	const char *state_dir;
	const char *attach_helper;
	struct links *links; /* what the libvirts say; thread-safe */
	struct interrupt *interrupt;
	bool once;

	/* replaced as a whole by a reload */
	struct config config;
	struct policy_set policies;

	/* across passes */
	struct state recorded; /* what an earlier daemon left; targets adopt from it */
	struct registry registry;
	struct newcomers newcomers;
	struct driver driver;
	struct crew crew;
	struct audit audit;
	struct budget budget;   /* of all that we cause */
	struct canary canary;
	uint64_t charged_hook_ns; /* of the rings and the helper, so far */
	uint64_t charged_here_ns; /* of the pass thread's own time, to the VMs it was for */
	struct timespec since;    /* when the books began */
	uint64_t opened_ns;       /* the same by CLOCK_MONOTONIC */
	struct judgement judgement; /* of the host */
	uint64_t payoff_ns;       /* CLOCK_MONOTONIC: the last look at what still pays */
	char active_group[POLICY_GROUP_BYTES]; /* "": none */
	bool paused;
	uint64_t pass_number;
	uint64_t bursts;
	uint64_t look_cost_ns;     /* CPU time of the last look at all that is marked */
	uint64_t batched_since_ns; /* the plan has waited for more to be folded; 0: it does not */
	bool bursting;    /* a burst is about to run: for what is published meanwhile */
	bool index_stale; /* the twins must be counted anew: somebody came, went, or has another policy */
	struct recount recount; /* whether they should be, for what was read */
	struct restraint restraint; /* what keeps folding back */
	struct rest rest; /* whether a pass may rest on the one before */
	uint64_t put_off_ns; /* since when extents wait to be read; 0: none does */
	bool settled;     /* something that the plan wanted to see again has been seen */
	bool hurried;     /* somebody young is to be folded: passes follow each other fast */
	bool nodes_apart; /* pages on different NUMA nodes are no twins, as the fingerprints have it */
	bool booting;     /* and is busy, so that what is counted now will soon be wrong */
	struct plan plan;
	struct forecast forecast; /* of all bursts, whoever has gone since */

	/* of this pass */
	struct sentences blocked_by, warnings;
	struct sentences findings; /* more warnings: of the last pass that did not rest, said until the next */
	uint64_t pass_pages, pass_scan_ns;
	uint64_t pass_ns; /* how long the last one took */
	enum thp_mode thp_mode;
};

/* Out of memory loses the sentence, nothing else. */
void sentences_add(struct sentences *sentences, const char *format, ...) _printf_(2, 3);
void sentences_clear(struct sentences *sentences);

/*
 * Gets ready: opens the host, reads the state record, takes up what it says, and gives back the knobs that
 * a daemon that was killed in a burst still owed. config and policies are taken over. -EBADMSG: the record
 * is unreadable; -errno. The caller fills the fixed part beforehand, and ends with core_close().
 */
int core_open(struct core *core, const bool disabled[FEATURE_COUNT]);
/* Restores KSM's knobs; folds and marks stay as they are. */
void core_close(struct core *core);

/* Puts on disk what is marked and owed at this moment. 0 or -errno: then nothing new may be done. */
int core_record(const struct core *core);

#endif
