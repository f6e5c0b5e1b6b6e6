// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/event_diff.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/json_text.h"

/* What a guest at rest breaks and the next burst folds again would be told in every pass otherwise.
 */
#define RECLAIMED_TOLD_BYTES (INT64_C(1) << 20)

struct telling {
	event_fn tell;
	void *arg;
};

static void tell(const struct telling *telling, json_t *event)
{
	telling->tell(telling->arg, event);
}

/* ---- VMs ---- */

static bool is_same(const struct snapshot_vm *a, const struct snapshot_vm *b)
{
	return a->pid == b->pid && a->started_ticks == b->started_ticks;
}

/* Mostly it is where it was. -1: it is not there. */
static ssize_t vm_find(const struct snapshot *snapshot, const struct snapshot_vm *vm, size_t hint)
{
	if (hint < snapshot->vm_count && is_same(&snapshot->vms[hint], vm))
		return (ssize_t)hint;
	for (size_t i = 0; i < snapshot->vm_count; i++)
		if (is_same(&snapshot->vms[i], vm))
			return (ssize_t)i;
	return -1;
}

/* Takes details over. */
static json_t *vm_event(const char *event, const struct snapshot_vm *vm, json_t *details)
{
	json_t *object = json_pack("{ss so so si}", "event", event, "name", json_text(vm->name),
		"uuid", json_text(vm->uuid), "pid", (int)vm->pid);

	if (object && (!details || json_object_update(object, details) < 0)) {
		json_decref(object);
		object = NULL;
	}
	json_decref(details);
	return object;
}

static json_t *policy_details(const struct snapshot_vm *vm)
{
	return json_pack("{ss so ss ss so}", "mode", policy_mode_name(vm->mode), "group",
		json_text(vm->group), "hook", policy_hook_name(vm->policy_hook), "hugepages",
		policy_hugepages_name(vm->hugepages), "source", json_text(vm->policy_source));
}

static void vm_came(const struct telling *telling, const struct snapshot_vm *vm)
{
	tell(telling, vm_event("vm-came", vm,
			      json_pack("{ss ss so}", "kind", vm->is_vm ? "vm" : "process", "state",
				      vm_state_name(vm->state), "reason", json_text(vm->reason))));
	tell(telling, vm_event("vm-policy", vm, policy_details(vm)));
}

static bool policy_is(const struct snapshot_vm *a, const struct snapshot_vm *b)
{
	return a->mode == b->mode && !strcmp(a->group, b->group) &&
	       a->policy_hook == b->policy_hook && a->hugepages == b->hugepages;
}

static void vm_changed(const struct telling *telling, const struct snapshot_vm *before,
	const struct snapshot_vm *now)
{
	if (!policy_is(before, now))
		tell(telling, vm_event("vm-policy", now, policy_details(now)));
	if (before->state != now->state)
		tell(telling, vm_event("vm-state", now,
				      json_pack("{ss ss so}", "state", vm_state_name(now->state),
					      "was", vm_state_name(before->state), "reason",
					      json_text(now->reason))));
}

/* Returns what is told of it now: a small change waits until there is more of it. */
static int64_t vm_reclaimed(
	const struct telling *telling, const struct snapshot_vm *vm, int64_t told)
{
	const int64_t now = vm->reclaimed_bytes, before = told == NOT_MEASURED ? 0 : told;
	const int64_t change = now == NOT_MEASURED ? 0 : now - before;

	if (change == 0 || (now && llabs(change) < RECLAIMED_TOLD_BYTES))
		return told;
	tell(telling, vm_event(change > 0 ? "folded" : "unfolded", vm,
			      json_pack("{sI sI}", "bytes", (json_int_t)llabs(change),
				      "reclaimed_bytes", (json_int_t)now)));
	return now;
}

static void vms_step(
	struct event_diff *diff, const struct snapshot *now, const struct telling *telling)
{
	const struct snapshot *before = diff->last;
	int64_t *told = calloc(now->vm_count + 1, sizeof(*told));

	for (size_t i = 0; i < before->vm_count; i++)
		if (vm_find(now, &before->vms[i], i) < 0)
			tell(telling, vm_event("vm-went", &before->vms[i], json_object()));
	for (size_t i = 0; i < now->vm_count; i++) {
		const struct snapshot_vm *vm = &now->vms[i];
		const ssize_t found = vm_find(before, vm, i);
		int64_t known = found < 0 ? 0 : before->vms[found].reclaimed_bytes;

		if (found < 0)
			vm_came(telling, vm);
		else
			vm_changed(telling, &before->vms[found], vm);
		if (found >= 0 && diff->told_reclaimed)
			known = diff->told_reclaimed[found];
		known = vm_reclaimed(telling, vm, known);
		if (told)
			told[i] = known;
	}
	free(diff->told_reclaimed);
	diff->told_reclaimed = told;
}

/* ---- the host ---- */

static bool text_is_among(char *const *texts, const char *text)
{
	for (; texts && *texts; texts++)
		if (!strcmp(*texts, text))
			return true;
	return false;
}

static void sentences_step(
	const struct telling *telling, const char *event, char *const *now, char *const *before)
{
	for (; now && *now; now++)
		if (!text_is_among(before, *now))
			tell(telling,
				json_pack("{ss so}", "event", event, "text", json_text(*now)));
}

static bool text_is(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

static json_t *count_json(int64_t value)
{
	return value == NOT_MEASURED ? json_null() : json_integer(value);
}

/* In the middle of a pass not all of its sentences have been said yet. */
static void whole_pass_step(
	struct event_diff *diff, struct snapshot *now, const struct telling *telling)
{
	const struct snapshot *before = diff->whole;

	if (now->pass_number == before->pass_number)
		return;
	tell(telling, json_pack("{ss sI so so so}", "event", "pass", "number",
			      (json_int_t)now->pass_number, "pages_scanned",
			      count_json(now->pages_scanned), "reclaimed_bytes",
			      count_json(now->reclaimed_bytes), "potential_bytes",
			      count_json(now->potential_bytes)));
	sentences_step(telling, "blocked", now->blocked_by, before->blocked_by);
	sentences_step(telling, "unblocked", before->blocked_by, now->blocked_by);
	sentences_step(telling, "warning", now->warnings, before->warnings);
	sentences_step(telling, "warning-over", before->warnings, now->warnings);
	snapshot_unref(diff->whole);
	diff->whole = snapshot_ref(now);
}

static void host_step(
	const struct event_diff *diff, const struct snapshot *now, const struct telling *telling)
{
	if (diff->last->paused != now->paused)
		tell(telling, json_pack("{ss}", "event", now->paused ? "paused" : "resumed"));
	if (!text_is(diff->last->active_group, now->active_group))
		tell(telling, json_pack("{ss so}", "event", "active-group", "group",
				      json_text(now->active_group)));
}

/* ---- both ---- */

void event_diff_begin(struct event_diff *diff, struct snapshot *snapshot)
{
	*diff = (struct event_diff){
		.last = snapshot_ref(snapshot),
		.whole = snapshot_ref(snapshot),
		.told_reclaimed = calloc(snapshot->vm_count + 1, sizeof(*diff->told_reclaimed)),
	};
	for (size_t i = 0; diff->told_reclaimed && i < snapshot->vm_count; i++)
		diff->told_reclaimed[i] = snapshot->vms[i].reclaimed_bytes;
}

void event_diff_step(
	struct event_diff *diff, struct snapshot *snapshot, event_fn tell_fn, void *arg)
{
	const struct telling telling = { tell_fn, arg };

	if (snapshot == diff->last)
		return;
	host_step(diff, snapshot, &telling);
	vms_step(diff, snapshot, &telling);
	whole_pass_step(diff, snapshot, &telling);
	snapshot_unref(diff->last);
	diff->last = snapshot_ref(snapshot);
}

void event_diff_end(struct event_diff *diff)
{
	snapshot_unref(diff->last);
	snapshot_unref(diff->whole);
	free(diff->told_reclaimed);
	*diff = (struct event_diff){ 0 };
}
