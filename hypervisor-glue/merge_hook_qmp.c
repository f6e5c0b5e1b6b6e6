// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Advice that QEMU gives itself: the property "merge" of its memory backends, set over its monitor
 * (host_memory_backend_set_merge() in backends/hostmem.c). It works on whole backends and in QEMU's main
 * loop, which stands still while folded memory is copied back.
 *
 * QEMU's answer is no evidence: setting what QEMU believes to be set does nothing, and failures of madvise()
 * are not told. What smaps says is believed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/merge_hook.h"
#include "hypervisor-glue/qmp.h"
#include "hypervisor-glue/qmp_memdev.h"
#include "hypervisor-glue/smaps.h"

/* query-memdev answers in a millisecond; a main loop that is busy takes longer. */
#define ATTACH_NS (5 * NS_PER_S)

struct qmp_hook {
	struct merge_hook hook; /* first: the two are cast into each other */
	struct hook_context context;
	struct process process;
	struct memdevs memdevs; /* as of the last look */
};

/* All backends of one size, and where they are. */
struct unit {
	uint64_t size;
	struct ram_range *ranges;
	size_t count;
};

/* ---- asking ---- */

static int qmp_hook_ask(struct qmp_hook *qmp, char *command, uint64_t deadline_ns, char **ret_reply)
{
	_cleanup_free_ char *text = command;

	if (!text)
		return -ENOMEM;
	return qmp->context.monitor(qmp->context.monitor_data, &qmp->process, text, deadline_ns,
		ret_reply, qmp->hook.trouble);
}

static int qmp_hook_look(struct qmp_hook *qmp, uint64_t deadline_ns)
{
	_cleanup_free_ char *reply = NULL;
	int error = qmp_hook_ask(qmp, qmp_command("query-memdev", NULL), deadline_ns, &reply);

	if (!error)
		error = memdevs_parse(reply, strlen(reply), &qmp->memdevs, qmp->hook.trouble);
	return error;
}

static int memdev_set(
	struct qmp_hook *qmp, const struct memdev *memdev, bool merge, uint64_t deadline_ns)
{
	_cleanup_free_ char *reply = NULL;
	json_t *arguments = json_pack("{s:s,s:s,s:b}", "path", memdev->path, "property", "merge",
		"value", merge);
	json_t *value;
	int error = arguments ? qmp_hook_ask(qmp, qmp_command("qom-set", arguments), deadline_ns, &reply)
			      : -ENOMEM;

	if (!error)
		error = qmp_reply_parse(reply, strlen(reply), &value, qmp->hook.trouble);
	if (!error)
		json_decref(value);
	return error;
}

static int unit_set(
	struct qmp_hook *qmp, const struct unit *unit, bool merge, uint64_t deadline_ns)
{
	int error = 0;

	for (size_t i = 0; !error && i < qmp->memdevs.count; i++)
		if (qmp->memdevs.list[i].size == unit->size)
			error = memdev_set(qmp, &qmp->memdevs.list[i], merge, deadline_ns);
	return error;
}

/* ---- reading back ---- */

struct marks {
	bool any, all; /* of the unit's memory is mergeable */
	uint64_t ksm_bytes;
};

static void range_look(const struct smaps_list *smaps, const struct ram_range *range, struct marks *marks)
{
	for (size_t i = 0; i < smaps->count; i++) {
		const struct vma *vma = &smaps->vmas[i];

		if (vma->end <= range->start || vma->start >= range->end)
			continue;
		if (vma->flags & VMA_MERGEABLE)
			marks->any = true;
		else
			marks->all = false;
		marks->ksm_bytes += vma->ksm_bytes;
	}
}

static int unit_look(const struct qmp_hook *qmp, const struct unit *unit, struct marks *ret)
{
	_cleanup_(smaps_list_done) struct smaps_list smaps = { 0 };
	const int error = smaps_read(qmp->context.root, qmp->process.id.pid, &smaps);

	if (error)
		return error;
	*ret = (struct marks){ .all = true };
	for (size_t i = 0; i < unit->count; i++)
		range_look(&smaps, &unit->ranges[i], ret);
	/* Older kernels do not print KSM: any mark may hold folds there. */
	if (!smaps.has_ksm && ret->any)
		ret->ksm_bytes = UINT64_MAX;
	return 0;
}

static bool unit_is(const struct marks *marks, bool merge)
{
	return merge ? marks->all : !marks->any;
}

static int unit_refused(struct qmp_hook *qmp, const struct unit *unit, bool merge)
{
	snprintf(qmp->hook.trouble, sizeof(qmp->hook.trouble),
		"QEMU was told to set merge=%s on its memory backends of %llu MiB, but the kernel "
		"shows no change (PR_SET_MEMORY_MERGE, or marks of another hook)",
		merge ? "true" : "false", (unsigned long long)(unit->size >> 20));
	return -EIO;
}

static int unit_advise(
	struct qmp_hook *qmp, const struct unit *unit, bool merge, uint64_t deadline_ns)
{
	struct marks marks;
	int error = unit_look(qmp, unit, &marks);

	if (error || unit_is(&marks, merge))
		return error;
	error = unit_set(qmp, unit, merge, deadline_ns);
	if (!error)
		error = unit_look(qmp, unit, &marks);
	if (error || unit_is(&marks, merge))
		return error;
	/* QEMU believes that it is so already. Its opposite first makes a difference; but un-marking what
	 * holds folds copies them all back, and nobody has asked whether there is room for that. */
	if (merge && marks.ksm_bytes)
		return unit_refused(qmp, unit, merge);
	error = unit_set(qmp, unit, !merge, deadline_ns);
	if (!error)
		error = unit_set(qmp, unit, merge, deadline_ns);
	if (!error)
		error = unit_look(qmp, unit, &marks);
	if (error || unit_is(&marks, merge))
		return error;
	return unit_refused(qmp, unit, merge);
}

/* ---- requests ---- */

struct batch {
	struct advice_request *requests; /* of one advice, ascending */
	size_t count;
};

static bool overlaps(const struct advice_request *request, const struct ram_range *range)
{
	return request->start < range->end && request->start + request->length > range->start;
}

static bool batch_covers(const struct batch *batch, const struct ram_range *range)
{
	uint64_t at = range->start;

	for (size_t i = 0; i < batch->count && at < range->end; i++) {
		const struct advice_request *request = &batch->requests[i];

		if (request->start <= at && request->start + request->length > at)
			at = request->start + request->length;
	}
	return at >= range->end;
}

static void batch_answer(struct batch *batch, const struct unit *unit, int result)
{
	for (size_t i = 0; i < batch->count; i++)
		for (size_t j = 0; j < unit->count; j++)
			if (overlaps(&batch->requests[i], &unit->ranges[j]))
				batch->requests[i].ret_result = result;
}

static bool batch_touches(const struct batch *batch, const struct unit *unit)
{
	for (size_t i = 0; i < batch->count; i++)
		for (size_t j = 0; j < unit->count; j++)
			if (overlaps(&batch->requests[i], &unit->ranges[j]))
				return true;
	return false;
}

static int batch_advise_unit(
	struct qmp_hook *qmp, struct batch *batch, const struct unit *unit, uint64_t deadline_ns)
{
	int error = 0;

	if (!batch_touches(batch, unit))
		return 0;
	for (size_t i = 0; !error && i < unit->count; i++)
		if (!batch_covers(batch, &unit->ranges[i]))
			error = -EXDEV;
	if (!error)
		error = unit_advise(qmp, unit, batch->requests[0].advice == ADVICE_MERGEABLE,
			deadline_ns);
	batch_answer(batch, unit, error);
	return error == -ETIMEDOUT || error == -ESRCH ? error : 0;
}

static bool size_seen(const struct memdevs *memdevs, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (memdevs->list[i].size == memdevs->list[index].size)
			return true;
	return false;
}

static int batch_advise(struct qmp_hook *qmp, struct batch *batch, uint64_t deadline_ns)
{
	_cleanup_(smaps_list_done) struct smaps_list smaps = { 0 };
	int error = smaps_read(qmp->context.root, qmp->process.id.pid, &smaps);

	for (size_t i = 0; i < batch->count; i++)
		batch->requests[i].ret_result = error ? error : -EOPNOTSUPP;
	if (batch->requests[0].advice != ADVICE_MERGEABLE &&
		batch->requests[0].advice != ADVICE_UNMERGEABLE)
		return 0;
	for (size_t i = 0; !error && i < qmp->memdevs.count; i++) {
		struct unit unit = { .size = qmp->memdevs.list[i].size };

		if (size_seen(&qmp->memdevs, i) ||
			memdevs_locate(&qmp->memdevs, unit.size, &smaps, &unit.ranges, &unit.count))
			continue;
		error = batch_advise_unit(qmp, batch, &unit, deadline_ns);
		free(unit.ranges);
	}
	return error;
}

static int qmp_advise(struct merge_hook *hook, struct advice_request *requests, size_t count,
	uint64_t deadline_ns)
{
	struct qmp_hook *qmp = (struct qmp_hook *)hook;
	int error;

	for (size_t i = 0; i < count; i++)
		requests[i].ret_result = -EINPROGRESS;
	hook->trouble[0] = '\0';
	/* Backends come and go with memory that is plugged. */
	error = qmp_hook_look(qmp, deadline_ns);
	for (size_t i = 0; !error && i < count;) {
		struct batch batch = { .requests = &requests[i] };

		while (i < count && requests[i].advice == batch.requests[0].advice) {
			batch.count++;
			i++;
		}
		error = batch_advise(qmp, &batch, deadline_ns);
	}
	if (error && !process_alive(&qmp->process))
		return -ESRCH;
	if (!error || error == -ETIMEDOUT)
		return error;
	for (size_t i = 0; i < count; i++)
		if (requests[i].ret_result == -EINPROGRESS)
			requests[i].ret_result = error;
	return 0;
}

/* ---- the rest of a hook ---- */

/* Some backend is memory that we can find. */
static int qmp_hook_reach(const struct qmp_hook *qmp, char reason[HOOK_REASON_BYTES])
{
	_cleanup_(smaps_list_done) struct smaps_list smaps = { 0 };
	int error = smaps_read(qmp->context.root, qmp->process.id.pid, &smaps);

	if (error) {
		snprintf(reason, HOOK_REASON_BYTES, "its address space cannot be read: %s",
			strerror(-error));
		return error;
	}
	error = -ENXIO;
	for (size_t i = 0; error && i < qmp->memdevs.count; i++) {
		struct ram_range *ranges;
		size_t count;

		error = memdevs_locate(
			&qmp->memdevs, qmp->memdevs.list[i].size, &smaps, &ranges, &count);
		if (!error)
			free(ranges);
	}
	if (error)
		snprintf(reason, HOOK_REASON_BYTES,
			"none of the memory backends that QEMU names over QMP (%zu of them private) is "
			"to be found in its address space", qmp->memdevs.count);
	return error;
}

static int qmp_attach(const struct hook_context *context, const struct process *process,
	struct merge_hook **ret, char reason[HOOK_REASON_BYTES])
{
	_cleanup_free_ struct qmp_hook *qmp = calloc(1, sizeof(*qmp));
	int error;

	if (!qmp || !context->monitor) {
		snprintf(reason, HOOK_REASON_BYTES, "%s",
			qmp ? "there is no monitor to ask" : "out of memory while attaching");
		return qmp ? -ENOENT : -ENOMEM;
	}
	qmp->hook.ops = &merge_hook_qmp;
	qmp->context = *context;
	qmp->process = *process;
	error = qmp_hook_look(qmp, clock_monotonic_ns() + ATTACH_NS);
	if (error)
		snprintf(reason, HOOK_REASON_BYTES, "%s",
			qmp->hook.trouble[0] ? qmp->hook.trouble : strerror(-error));
	else
		error = qmp_hook_reach(qmp, reason);
	if (!error)
		*ret = &steal_pointer(&qmp)->hook;
	return error;
}

static int qmp_cpu_ns(_unused_ struct merge_hook *hook, uint64_t *ret_ns)
{
	*ret_ns = 0; /* QEMU's main loop does it: part of the VM's own */
	return 0;
}

static uint64_t qmp_helper_cpu_ns(_unused_ struct merge_hook *hook)
{
	return 0;
}

static void qmp_detach(struct merge_hook *hook)
{
	free(hook);
}

const struct merge_hook_ops merge_hook_qmp = {
	.name = "qmp",
	.whole = true,
	.attach = qmp_attach,
	.advise = qmp_advise,
	.cpu_ns = qmp_cpu_ns,
	.helper_cpu_ns = qmp_helper_cpu_ns,
	.detach = qmp_detach,
};
