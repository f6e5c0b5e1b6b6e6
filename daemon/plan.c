// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/draft.h"

const char *plan_action_name(enum plan_action action)
{
	switch (action) {
	case PLAN_FOLD:
		return "fold";
	case PLAN_REVISIT:
		return "revisit";
	case PLAN_RELEASE:
		return "release";
	case PLAN_WAIT:
		return "wait";
	}
	return "?";
}

static int plan_add(struct plan *plan, size_t *room, const struct plan_entry *entry)
{
	if (plan->count == *room) {
		const size_t more = *room ? *room * 2 : 64;
		struct plan_entry *entries =
			reallocarray(plan->entries, more, sizeof(*plan->entries));

		if (!entries)
			return -ENOMEM;
		plan->entries = entries;
		*room = more;
	}
	plan->entries[plan->count++] = *entry;
	return 0;
}

/* Whether there is anything to do in an extent that is worth it; fills gain, action and reason. */
static bool extent_decide(
	const struct draft_vm *draft, size_t e, uint64_t pass, struct plan_entry *entry)
{
	const struct extent *extent = &draft->vm->map->extents[e];
	const enum policy_hugepages hugepages = draft->vm->hugepages;
	const int price = (int)draft_price(hugepages, extent);
	const int gain = draft_gain(extent, draft->worth.counts[e]);
	const int now = draft_gain(extent, draft->ready.counts[e]);

	if (!draft->worth.in[e])
		return false;
	entry->gain = (uint16_t)(gain > 0 ? gain : 0);
	if (gain < price || !payoff_may_fold(extent, pass))
		return false;
	if (extent->visits < 2) {
		entry->action = PLAN_REVISIT;
		entry->reason = "promising, read once: to be read again before it is marked";
	} else if (gain - extent->changed < price) {
		entry->action = PLAN_REVISIT;
		entry->reason = "promising, but it changed since the visit before";
	} else if (!draft->ready.in[e] || now < price) {
		entry->action = PLAN_WAIT;
		entry->reason = "what it has in common is with memory that is not to be marked yet";
	} else {
		entry->action = PLAN_FOLD;
		entry->gain = (uint16_t)now;
		entry->reason = extent->marked ? "marked, with new twins"
			: extent->huge ? "its twins and zero pages are worth the huge page"
				       : "has twins, and no huge page to lose";
	}
	return true;
}

static void entry_init(struct plan_entry *entry, const struct draft *draft, size_t v, size_t e)
{
	const struct draft_vm *vm = &draft->vms[v];
	const struct extent *extent = &vm->vm->map->extents[e];

	*entry = (struct plan_entry){
		.vm = (uint32_t)v,
		.extent = (uint32_t)e,
		.pid = vm->vm->pid,
		.start = extent->start,
		.length = (uint32_t)(extent->end - extent->start),
		.twins = vm->worth.in[e] ? vm->worth.counts[e].twins : extent->twins,
		.zeros = vm->worth.in[e] ? vm->worth.counts[e].zeros : extent->zeros,
		.huge = extent->huge && !extent->marked,
	};
}

/* One extent that may be folded takes all of them along; before that, enough of them must be ready. */
static int plan_add_whole(struct plan *plan, size_t *room, const struct draft *draft, size_t v,
	uint64_t pass)
{
	const struct draft_vm *vm = &draft->vms[v];
	struct plan_entry entry;
	bool fold, any = false, unmarked = false;
	int error = 0;

	for (size_t e = 0; e < vm->vm->map->count; e++) {
		entry_init(&entry, draft, v, e);
		if (!extent_decide(vm, e, pass, &entry) || entry.action != PLAN_FOLD)
			continue;
		any = true;
		unmarked = unmarked || !vm->vm->map->extents[e].marked;
	}
	fold = any && (!unmarked || draft_whole_is_ready(vm, &vm->ready, pass));
	for (size_t e = 0; !error && e < vm->vm->map->count; e++) {
		const struct extent *extent = &vm->vm->map->extents[e];
		bool decided;

		entry_init(&entry, draft, v, e);
		decided = extent_decide(vm, e, pass, &entry);
		if (fold && unmarked && !extent->marked && !extent->out_of_reach &&
			!(decided && entry.action == PLAN_FOLD)) {
			entry.action = PLAN_FOLD;
			entry.reason = "hook qmp marks all of its memory at once";
		} else if (!decided || (entry.action == PLAN_FOLD && !fold)) {
			continue;
		}
		if (entry.action == PLAN_FOLD)
			plan->fold_pages += entry.gain;
		error = plan_add(plan, room, &entry);
	}
	return error;
}

/* Which extents the mappings that may still be made are for. */
struct admission {
	unsigned gain; /* all of more than that */
	uint64_t ties; /* so many of just that */
};

static bool extent_asks_for_vmas(const struct draft *draft, size_t v, size_t e, uint64_t pass,
	unsigned *ret_gain)
{
	const struct draft_vm *vm = &draft->vms[v];
	const struct extent *extent = &vm->vm->map->extents[e];
	struct plan_entry entry;

	if (extent->marked)
		return false;
	entry_init(&entry, draft, v, e);
	if (!extent_decide(vm, e, pass, &entry) || entry.action != PLAN_FOLD)
		return false;
	*ret_gain = entry.gain;
	return true;
}

/* Where there is not room for all, the best ones: of equal ones the first. */
static struct admission admission_decide(const struct draft *draft, size_t v, uint64_t pass)
{
	const struct plan_vm *vm = draft->vms[v].vm;
	uint64_t room = vm->vma_room / PLAN_VMAS_PER_EXTENT;
	uint64_t asking[EXTENT_PAGES + 1] = { 0 };
	unsigned gain;

	for (size_t e = 0; e < vm->map->count; e++)
		if (extent_asks_for_vmas(draft, v, e, pass, &gain))
			asking[gain < EXTENT_PAGES ? gain : EXTENT_PAGES]++;
	for (gain = EXTENT_PAGES; gain > 0 && asking[gain] <= room; gain--)
		room -= asking[gain];
	return (struct admission){ gain, room };
}

static bool admission_grants(struct admission *admission, unsigned gain)
{
	if (gain == admission->gain && admission->ties) {
		admission->ties--;
		return true;
	}
	return gain > admission->gain;
}

/* An extent by itself: false, nothing is to be done about it. One that stopped paying is released, unless there is
 * enough to be folded in it again right now. */
static bool extent_plan(const struct draft_vm *draft, size_t e, uint64_t pass, struct plan_entry *entry)
{
	const struct extent *extent = &draft->vm->map->extents[e];
	const bool decided = extent_decide(draft, e, pass, entry);

	if (!draft->vm->fold || !payoff_has_lapsed(extent) || (decided && entry->action == PLAN_FOLD))
		return decided;
	entry->action = PLAN_RELEASE;
	entry->gain = 0;
	entry->reason = payoff_thrashes(extent)
		? "its folds break as fast as they are made, so it costs more than it gives"
		: extent->was_huge
		? "too few of its pages are still folded: its huge page is worth more"
		: "too few of its pages are still folded to be worth a mark";
	return true;
}

static int plan_add_vm(struct plan *plan, size_t *room, const struct draft *draft, size_t v,
	uint64_t pass)
{
	const struct draft_vm *vm = &draft->vms[v];
	struct admission admission;
	int error = 0;

	if (vm->vm->whole && !vm->vm->release)
		return plan_add_whole(plan, room, draft, v, pass);
	admission = admission_decide(draft, v, pass);
	for (size_t e = 0; !error && e < vm->vm->map->count; e++) {
		const struct extent *extent = &vm->vm->map->extents[e];
		struct plan_entry entry;

		entry_init(&entry, draft, v, e);
		if (vm->vm->release && extent->marked) {
			entry.action = PLAN_RELEASE;
			entry.reason = vm->vm->why ? vm->vm->why : "its memory is to be private again";
		} else if (!extent_plan(vm, e, pass, &entry)) {
			continue;
		} else if (entry.action == PLAN_FOLD) {
			if (!extent->marked && !admission_grants(&admission, entry.gain))
				continue; /* vm.max_map_count: the caller reports vma_room */
			plan->fold_pages += entry.gain;
		}
		error = plan_add(plan, room, &entry);
	}
	return error;
}

static int plan_add_name(struct plan *plan, const char *name)
{
	char *copy = strdup(name);

	if (!copy)
		return -ENOMEM;
	plan->vm_names[plan->vm_count++] = copy;
	return 0;
}

/* What was allocated ahead is given back. */
static void plan_trim(struct plan *plan)
{
	struct plan_entry *entries = plan->count
		? reallocarray(plan->entries, plan->count, sizeof(*plan->entries)) : NULL;

	if (entries)
		plan->entries = entries;
}

int plan_make(const struct plan_vm *vms, size_t vm_count, uint64_t pass, struct plan *ret)
{
	_cleanup_(draft_done) struct draft draft = { 0 };
	struct plan plan = {
		.vm_names = calloc(vm_count + 1, sizeof(char *)),
		.vm_yield = calloc(vm_count + 1, sizeof(double)),
	};
	size_t room = 0;
	int error = plan.vm_names && plan.vm_yield ? 0 : -ENOMEM;

	if (!error)
		error = draft_make(vms, vm_count, pass, &draft);
	for (size_t v = 0; !error && v < vm_count; v++) {
		plan.vm_yield[v] = draft_vm_yield(&draft, v);
		error = plan_add_name(&plan, vms[v].name);
		if (!error)
			error = plan_add_vm(&plan, &room, &draft, v, pass);
	}
	if (error) {
		plan_done(&plan);
		return error;
	}
	plan_trim(&plan);
	plan.saved_pages = draft_saved_pages(&draft, plan.fold_pages);
	plan.saved_pages_least = draft_saved_pages_among_themselves(&draft, plan.fold_pages);
	*ret = plan;
	return 0;
}

void plan_done(struct plan *plan)
{
	for (size_t v = 0; v < plan->vm_count; v++)
		free(plan->vm_names[v]);
	free(plan->vm_names);
	free(plan->vm_yield);
	free(plan->entries);
	*plan = (struct plan){ 0 };
}

const char *plan_vm_name(const struct plan *plan, const struct plan_entry *entry)
{
	return entry->vm < plan->vm_count ? plan->vm_names[entry->vm] : NULL;
}

double plan_expected_pages(const struct plan *plan, pid_t pid)
{
	double pages = 0;

	for (size_t i = 0; i < plan->count; i++)
		if (plan->entries[i].pid == pid && plan->entries[i].action == PLAN_FOLD)
			pages += plan->entries[i].gain * plan->vm_yield[plan->entries[i].vm];
	return pages;
}

void plan_drop_folds(struct plan *plan)
{
	size_t kept = 0;

	for (size_t i = 0; i < plan->count; i++)
		if (plan->entries[i].action != PLAN_FOLD)
			plan->entries[kept++] = plan->entries[i];
	plan->count = kept;
	plan->fold_pages = plan->saved_pages = plan->saved_pages_least = 0;
}

void plan_hold_folds(struct plan *plan, const char *reason)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->entries[i].action != PLAN_FOLD)
			continue;
		plan->entries[i].action = PLAN_WAIT;
		plan->entries[i].reason = reason;
	}
	plan->fold_pages = plan->saved_pages = plan->saved_pages_least = 0;
}

int plan_copy(const struct plan *plan, struct plan *ret)
{
	struct plan copy = {
		.entries = calloc(plan->count + 1, sizeof(*copy.entries)),
		.vm_names = calloc(plan->vm_count + 1, sizeof(char *)),
		.fold_pages = plan->fold_pages,
		.saved_pages = plan->saved_pages,
		.saved_pages_least = plan->saved_pages_least,
	};
	int error = copy.entries && copy.vm_names ? 0 : -ENOMEM;

	for (size_t v = 0; !error && v < plan->vm_count; v++)
		error = plan_add_name(&copy, plan->vm_names[v]);
	if (error) {
		plan_done(&copy);
		return error;
	}
	for (; copy.count < plan->count; copy.count++)
		copy.entries[copy.count] = plan->entries[copy.count];
	*ret = copy;
	return 0;
}
