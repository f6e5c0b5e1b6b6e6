// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/snapshot_json.h"

#include <math.h>
#include <string.h>

#include "common/cleanup.h"

#define SCHEMA 1

static void cleanup_json(json_t **json)
{
	json_decref(*json);
}
#define _cleanup_json_ _cleanup_(cleanup_json)

static json_t *json_count(int64_t value)
{
	return value == NOT_MEASURED ? json_null() : json_integer(value);
}

static json_t *json_seconds(double value)
{
	return isfinite(value) && value >= 0 ? json_real(value) : json_null();
}

/* By how much more came than was said, in percent of that; negative: less. */
static json_t *json_error_percent(int64_t predicted_bytes, int64_t delivered_bytes)
{
	if (predicted_bytes == NOT_MEASURED || predicted_bytes <= 0)
		return json_null();
	return json_real((double)(delivered_bytes - predicted_bytes) * 100 / (double)predicted_bytes);
}

static json_t *json_texts(char *const *texts)
{
	_cleanup_json_ json_t *array = json_array();

	for (char *const *text = texts; array && text && *text; text++)
		if (json_array_append_new(array, json_text(*text)) < 0)
			return NULL;
	return steal_pointer(&array);
}

/* From here on a line is a key and its value. */
// clang-format off

/* json_pack()'s "o" takes the reference of its argument, also when it fails, and fails on NULL. */
static json_t *host_json(const struct snapshot *snapshot)
{
	return json_pack("{so so so so so sb so so so}",
		"memory_bytes", json_count(snapshot->memory_bytes),
		"available_bytes", json_count(snapshot->available_bytes),
		"kernel", json_text(snapshot->kernel),
		"features", json_texts(snapshot->features),
		"active_group", json_text(snapshot->active_group),
		"paused", snapshot->paused,
		"ksm_driver", json_text(snapshot->ksm_driver),
		"blocked_by", json_texts(snapshot->blocked_by),
		"warnings", json_texts(snapshot->warnings));
}

static json_t *savings_json(const struct snapshot *snapshot)
{
	return json_pack("{so so so so so so so so so so so}",
		"reclaimed_bytes", json_count(snapshot->reclaimed_bytes),
		"reclaimed_zero_bytes", json_count(snapshot->reclaimed_zero_bytes),
		"reclaimed_self_bytes", json_count(snapshot->reclaimed_self_bytes),
		"reclaimed_cross_bytes", json_count(snapshot->reclaimed_cross_bytes),
		"predicted_bytes", json_count(snapshot->predicted_bytes),
		"delivered_bytes", json_count(snapshot->delivered_bytes),
		"prediction_error_percent", json_error_percent(
			snapshot->predicted_bytes, snapshot->delivered_bytes),
		"net_bytes", json_count(snapshot->net_bytes),
		"potential_bytes", json_count(snapshot->potential_bytes),
		"exposure_bytes", json_count(snapshot->exposure_bytes),
		"metadata_bytes", json_count(snapshot->metadata_bytes));
}

static json_t *cost_json(const struct snapshot *snapshot)
{
	return json_pack("{so so so so so so so so so so so so so so}",
		"since", snapshot->since.tv_sec ? json_time(&snapshot->since) : json_null(),
		"scan_cpu_seconds", json_seconds(snapshot->scan_cpu_seconds),
		"ksmd_cpu_seconds", json_seconds(snapshot->ksmd_cpu_seconds),
		"ring_cpu_seconds", json_seconds(snapshot->ring_cpu_seconds),
		"helper_cpu_seconds", json_seconds(snapshot->helper_cpu_seconds),
		"vms_cpu_seconds", json_seconds(snapshot->vms_cpu_seconds),
		"ended_cpu_seconds", json_seconds(snapshot->ended_cpu_seconds),
		"own_cpu_seconds", json_seconds(snapshot->own_cpu_seconds),
		"cow_breaks", json_count(snapshot->cow_breaks),
		"cow_break_ns_p50", json_count(snapshot->cow_break_ns_p50),
		"cow_break_ns_p99", json_count(snapshot->cow_break_ns_p99),
		"stall_seconds_estimate", json_seconds(snapshot->stall_seconds_estimate),
		"stall_longest_seconds", json_seconds(snapshot->stall_longest_seconds),
		"hugepages_lost", json_count(snapshot->hugepages_lost));
}

static json_t *verdict_json(const struct verdict *verdict, const char *reason)
{
	return json_pack("{so so so so so so so so}",
		"word", json_text(verdict_word_name(verdict->word)),
		"reason", json_text(reason),
		"net_bytes", json_count(verdict->net_bytes),
		"cpu_seconds_per_hour", json_seconds(verdict->cpu_seconds_per_hour),
		"stall_seconds_per_hour", json_seconds(verdict->stall_seconds_per_hour),
		"net_bytes_per_cpu_second", json_count(verdict->bytes_per_cpu_second),
		"net_bytes_per_stall_second", json_count(verdict->bytes_per_stall_second),
		"break_even_bytes_per_cpu_second", json_count(verdict->break_even_bytes));
}

static json_t *pass_json(const struct snapshot *snapshot)
{
	const bool finished = snapshot->pass_number > 0;

	return json_pack("{so so so so}",
		"number", json_integer((json_int_t)snapshot->pass_number),
		"finished_at", finished ? json_time(&snapshot->finished_at) : json_null(),
		"pages_scanned", json_count(snapshot->pages_scanned),
		"bytes_per_second", json_count(snapshot->bytes_per_second));
}

static json_t *extents_json(const struct snapshot_vm *vm)
{
	_cleanup_json_ json_t *array = json_array();

	for (size_t i = 0; array && i < vm->extent_count; i++) {
		const struct snapshot_extent *extent = &vm->extents[i];
		json_t *entry =
			json_pack("{sI sI si si si sb sb sI}",
				"start", (json_int_t)extent->start,
				"length", (json_int_t)extent->length,
				"pages_read", extent->pages_read,
				"zero_pages", extent->zeros,
				"duplicate_pages", extent->twins,
				"huge", extent->huge,
				"folded", extent->folded,
				"cow_breaks", (json_int_t)extent->breaks);

		if (json_array_append_new(array, entry) < 0)
			return NULL;
	}
	return steal_pointer(&array);
}

static json_t *vm_counts_json(const struct snapshot_vm *vm)
{
	return json_pack("{so so so so so so so so so so so so so so so so so so so}",
		"ram_bytes", json_count(vm->ram_bytes),
		"resident_bytes", json_count(vm->resident_bytes),
		"pages_scanned", json_count(vm->pages_scanned),
		"zero_pages", json_count(vm->zero_pages),
		"duplicate_pages", json_count(vm->duplicate_pages),
		"potential_bytes", json_count(vm->potential_bytes),
		"reclaimed_bytes", json_count(vm->reclaimed_bytes),
		"reclaimed_zero_bytes", json_count(vm->reclaimed_zero_bytes),
		"reclaimed_self_bytes", json_count(vm->reclaimed_self_bytes),
		"reclaimed_cross_bytes", json_count(vm->reclaimed_cross_bytes),
		"predicted_bytes", json_count(vm->predicted_bytes),
		"delivered_bytes", json_count(vm->delivered_bytes),
		"prediction_error_percent", json_error_percent(
			vm->predicted_bytes, vm->delivered_bytes),
		"exposure_bytes", json_count(vm->exposure_bytes),
		"cow_breaks_estimate", json_count(vm->cow_breaks_estimate),
		"stall_seconds_estimate", json_seconds(vm->stall_seconds_estimate),
		"stall_longest_seconds", json_seconds(vm->stall_longest_seconds),
		"cpu_seconds", json_seconds(vm->cpu_seconds),
		"hugepages_lost", json_count(vm->hugepages_lost));
}

json_t *snapshot_vm_json(const struct snapshot_vm *vm, bool with_extents)
{
	_cleanup_json_ json_t *counts = vm_counts_json(vm);
	_cleanup_json_ json_t *object = json_pack("{so so si ss ss so so ss so}",
		"name", json_text(vm->name),
		"uuid", json_text(vm->uuid),
		"pid", (int)vm->pid,
		"kind", vm->is_vm ? "vm" : "process",
		"mode", policy_mode_name(vm->mode),
		"group", json_text(vm->group),
		"hook", json_text(vm->hook),
		"state", vm_state_name(vm->state),
		"reason", json_text(vm->reason));

	if (!counts || !object || json_object_update(object, counts) < 0 ||
		json_object_set_new(object, "verdict", verdict_json(&vm->verdict, vm->verdict_reason)) < 0)
		return NULL;
	if (with_extents && json_object_set_new(object, "extents", extents_json(vm)) < 0)
		return NULL;
	return steal_pointer(&object);
}

static json_t *vm_array_json(const struct snapshot *snapshot)
{
	_cleanup_json_ json_t *array = json_array();

	for (size_t i = 0; array && i < snapshot->vm_count; i++)
		if (json_array_append_new(array, snapshot_vm_json(&snapshot->vms[i], false)) < 0)
			return NULL;
	return steal_pointer(&array);
}

json_t *snapshot_vms_json(const struct snapshot *snapshot)
{
	return json_pack("{si so}",
		"schema", SCHEMA,
		"vms", vm_array_json(snapshot));
}

json_t *snapshot_status_json(const struct snapshot *snapshot)
{
	return json_pack("{si so so so so so so}",
		"schema", SCHEMA,
		"host", host_json(snapshot),
		"verdict", verdict_json(&snapshot->verdict, snapshot->verdict_reason),
		"savings", savings_json(snapshot),
		"cost", cost_json(snapshot),
		"pass", pass_json(snapshot),
		"vms", vm_array_json(snapshot));
}

static json_t *plan_entries_json(const struct plan *plan)
{
	_cleanup_json_ json_t *array = json_array();

	for (size_t i = 0; array && i < plan->count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		json_t *object = json_pack("{ss so si sI sI si si sb so}",
			"action", plan_action_name((enum plan_action)entry->action),
			"name", json_text(plan_vm_name(plan, entry)),
			"pid", (int)entry->pid,
			"start", (json_int_t)entry->start,
			"length", (json_int_t)entry->length,
			"duplicate_pages", entry->twins,
			"zero_pages", entry->zeros,
			"huge", entry->huge,
			"reason", json_text(entry->reason));

		if (json_array_append_new(array, object) < 0)
			return NULL;
	}
	return steal_pointer(&array);
}

json_t *snapshot_plan_json(const struct snapshot *snapshot)
{
	const bool finished = snapshot->pass_number > 0;

	return json_pack("{si so so so}",
		"schema", SCHEMA,
		"pass", json_integer((json_int_t)snapshot->pass_number),
		"fold_pages", finished ? json_integer((json_int_t)snapshot->plan.fold_pages) : json_null(),
		"entries", plan_entries_json(&snapshot->plan));
}

json_t *snapshot_policy_json(const struct snapshot_vm *vm)
{
	return json_pack("{si so so si ss so ss ss so}",
		"schema", SCHEMA,
		"name", json_text(vm->name),
		"uuid", json_text(vm->uuid),
		"pid", (int)vm->pid,
		"mode", policy_mode_name(vm->mode),
		"group", json_text(vm->group),
		"hook", policy_hook_name(vm->policy_hook),
		"hugepages", policy_hugepages_name(vm->hugepages),
		"source", json_text(vm->policy_source));
}
