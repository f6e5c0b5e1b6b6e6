// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/judge.h"

#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "common/clock.h"
#include "daemon/core.h"
#include "daemon/log.h"

/* A boot, a backup or an update that rewrites much is over by then. */
#define PATIENCE_NS (10 * 60 * NS_PER_S)

/* After that the costs of before count little (the verdict looks back an hour); each time that it
 * comes to the same end the rest is twice as long, a day at the most: what a guest does may have
 * changed the day after. */
#define REST_NS      (2 * 3600 * NS_PER_S)
#define REST_NS_MOST (24 * 3600 * NS_PER_S)
#define RESTS_MOST   4

/* ---- the verdict ---- */

/* What is kept for it alone: KSM's items, and the fingerprints of its pages. */
static int64_t net_bytes(const struct target *target)
{
	int64_t metadata = target->ksm_item_bytes;

	if (metadata == NOT_MEASURED)
		return NOT_MEASURED;
	for (size_t i = 0; i < target->guest.map.count; i++)
		if (target->guest.map.extents[i].prints)
			metadata += (int64_t)sizeof(struct extent_prints);
	return target->reclaimed_bytes - metadata;
}

static double all_cpu_seconds(const struct snapshot *snapshot)
{
	return snapshot->scan_cpu_seconds + snapshot->ksmd_cpu_seconds +
	       snapshot->ring_cpu_seconds + snapshot->helper_cpu_seconds;
}

#define UNDER_WAY "folding is under way"
#define UNTOLD    "the kernel does not tell how much memory KSM takes for it"

/* Nothing to judge: what the word says so for, in a sentence. */
static const char *unjudged(const struct core *core, const struct target *target)
{
	if (!target->mapped || !target->guest.ram_bytes)
		return "its memory has not been looked at";
	if (!target->marked_extents)
		return "nothing of it is folded, so that there is nothing to judge";
	if (core->bursting)
		return UNDER_WAY;
	if (target->ksm_item_bytes == NOT_MEASURED)
		return UNTOLD;
	return NULL;
}

static void costly_note(struct judgement *judgement, uint64_t now_ns)
{
	if (judgement->verdict.word != VERDICT_COSTS_MORE)
		judgement->costly_since_ns = 0;
	else if (!judgement->costly_since_ns)
		judgement->costly_since_ns = now_ns;
}

static void target_judge(const struct core *core, struct target *target, struct snapshot_vm *vm,
	const struct verdict_host *host, uint64_t now_ns)
{
	struct judgement *judgement = &target->judgement;
	const char *why_not = unjudged(core, target);

	verdict_costs_note(&judgement->costs, now_ns, vm->cpu_seconds, vm->stall_seconds_estimate);
	if (core->bursting) {
		verdict_init(&vm->verdict);
	} else {
		verdict_judge(&judgement->verdict, &judgement->costs,
			target->mapped ? net_bytes(target) : NOT_MEASURED, host);
		if (why_not)
			judgement->verdict.word = VERDICT_UNKNOWN;
		costly_note(judgement, now_ns);
		vm->verdict = judgement->verdict;
	}
	vm->verdict_reason = why_not ? strdup(why_not) : verdict_text(&vm->verdict);
}

static void host_judge(struct core *core, struct snapshot *snapshot,
	const struct verdict_host *host, uint64_t now_ns)
{
	struct judgement *judgement = &core->judgement;
	const char *why_not =
		snapshot->reclaimed_bytes <= 0
			? "nothing is folded, so that there is nothing to judge"
		: core->bursting ? UNDER_WAY
		: snapshot->net_bytes == NOT_MEASURED || snapshot->memory_bytes == NOT_MEASURED
			? UNTOLD
			: NULL;

	verdict_costs_note(&judgement->costs, now_ns, all_cpu_seconds(snapshot),
		snapshot->stall_seconds_estimate);
	verdict_judge(&judgement->verdict, &judgement->costs, snapshot->net_bytes, host);
	if (why_not)
		judgement->verdict.word = VERDICT_UNKNOWN;
	snapshot->verdict = judgement->verdict;
	snapshot->verdict_reason = why_not ? strdup(why_not) : verdict_text(&snapshot->verdict);
}

void judge_fill(struct core *core, struct snapshot *snapshot, uint64_t now_ns)
{
	const struct verdict_host host = { snapshot->memory_bytes, (unsigned)get_nprocs() };

	for (size_t i = 0; i < snapshot->vm_count; i++)
		target_judge(core, core->registry.targets[i], &snapshot->vms[i], &host, now_ns);
	host_judge(core, snapshot, &host, now_ns);
}

/* ---- what follows ---- */

/* Who wants memory first, whatever it costs, has it; one that is not to be folded anyway is
 * nobody's loss. */
static bool may_rest(const struct core *core, const struct target *target)
{
	return target_wants_folds(target, core->active_group) &&
	       target->policy.hugepages != HUGEPAGES_FOLD && target->marked_extents > 0;
}

static void rest_from_now(struct target *target, uint64_t now_ns)
{
	struct judgement *judgement = &target->judgement;
	const uint64_t rest_ns = REST_NS << judgement->rests;

	judgement->rests_until_ns = now_ns + (rest_ns < REST_NS_MOST ? rest_ns : REST_NS_MOST);
	judgement->costly_since_ns = 0;
	if (judgement->rests < RESTS_MOST)
		judgement->rests++;
	log_notice("%s (pid %d): folding it costs more than it gives; it is released, and tried "
		   "again in %llu "
		   "hours",
		target_name(target), (int)target_pid(target),
		(unsigned long long)((judgement->rests_until_ns - now_ns) / NS_PER_S / 3600));
}

/* Whoever changes the policy wants it looked at anew. */
static bool rest_is_over(const struct target *target, uint64_t now_ns)
{
	return now_ns >= target->judgement.rests_until_ns || target->policy_is_new ||
	       target->policy.hugepages == HUGEPAGES_FOLD;
}

void judge_decide(struct core *core, uint64_t now_ns)
{
	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		struct judgement *judgement = &target->judgement;

		if (judgement->verdict.word == VERDICT_WORTH_IT)
			judgement->rests = 0;
		if (judgement_rests(judgement)) {
			if (rest_is_over(target, now_ns))
				judgement->rests_until_ns = 0;
		} else if (judgement->costly_since_ns &&
			   now_ns - judgement->costly_since_ns >= PATIENCE_NS &&
			   may_rest(core, target)) {
			rest_from_now(target, now_ns);
		}
	}
}

uint64_t judge_rest_minutes(const struct judgement *judgement, uint64_t now_ns)
{
	return judgement->rests_until_ns > now_ns
		       ? (judgement->rests_until_ns - now_ns) / NS_PER_S / 60 + 1
		       : 0;
}
