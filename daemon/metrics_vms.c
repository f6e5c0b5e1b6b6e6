// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metrics_vms.h"

#include <math.h>
#include <string.h>

#include "common/cleanup.h"

#define REST_LABEL "rest=\"yes\""

struct vm_metric {
	struct metric metric;
	bool is_real;  /* double seconds, else int64_t */
	size_t offset; /* in struct snapshot_vm */
};

// clang-format off
/* Names are what stands behind pagefold_vm_. */
#define ENTRY(name, type, unit, is_real, member, help) \
	{ { "pagefold_vm_" name, type, unit, help }, is_real, offsetof(struct snapshot_vm, member) }
#define BYTES(member, help) ENTRY(#member, METRIC_GAUGE, "bytes", false, member, help)
#define PAGES(name, member, help) \
	ENTRY(name "_pages", METRIC_GAUGE, "pages", false, member, help)

static const struct vm_metric vm_metrics[] = {
	BYTES(ram_bytes,
		"Memory that it was given."),
	BYTES(resident_bytes,
		"Of that, what is in memory."),
	PAGES("scanned", pages_scanned,
		"Pages that have been read and are known."),
	PAGES("zero", zero_pages,
		"Of those, pages full of zeros."),
	PAGES("duplicate", duplicate_pages,
		"Of those, pages whose content is there more than once."),
	BYTES(potential_bytes,
		"Memory that folding could still bring back, an estimate."),
	BYTES(reclaimed_bytes,
		"Memory that folding has brought back, its share of what is shared."),
	BYTES(reclaimed_zero_bytes,
		"Of the reclaimed memory, what were pages full of zeros."),
	BYTES(reclaimed_self_bytes,
		"Of the reclaimed memory, what it had itself more than once."),
	BYTES(reclaimed_cross_bytes,
		"Of the reclaimed memory, its share of what others had as well."),
	BYTES(predicted_bytes,
		"What plans said the bursts would bring back of it, all together."),
	BYTES(delivered_bytes,
		"What those bursts brought back of it."),
	ENTRY("net_bytes", METRIC_GAUGE, "bytes", false, verdict.net_bytes,
		"Reclaimed memory less what folding it takes."),
	BYTES(exposure_bytes,
		"Memory that would be needed at once if every fold in it broke."),
	ENTRY("cow_breaks", METRIC_COUNTER, NULL, false, cow_breaks_estimate,
		"Folded pages that it has written to, an estimate."),
	ENTRY("stall_seconds", METRIC_COUNTER, "seconds", true, stall_seconds_estimate,
		"For how long folding has held it up, an estimate."),
	ENTRY("cpu_seconds", METRIC_COUNTER, "seconds", true, cpu_seconds,
		"CPU time that was spent on it."),
	ENTRY("hugepages_lost", METRIC_GAUGE, NULL, false, hugepages_lost,
		"Huge pages that were split to fold parts of them."),
};
// clang-format on

/* One VM's labels; an array of them lives as long as a text is written. */
struct labels {
	char *text;
	const struct snapshot_vm *vm;
	bool has_pid;
};

static char *labels_make(const struct snapshot_vm *vm, bool with_pid, bool with_state)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);
	char pid[16];

	if (!out)
		return NULL;
	metrics_label(out, "name", vm->name);
	metrics_label(out, "uuid", vm->uuid);
	metrics_label(out, "group", vm->group);
	(void)snprintf(pid, sizeof(pid), "%d", (int)vm->pid);
	metrics_label(out, "pid", with_pid ? pid : NULL);
	if (with_state) {
		metrics_label(out, "kind", vm->is_vm ? "vm" : "process");
		metrics_label(out, "mode", policy_mode_name(vm->mode));
		metrics_label(out, "hook", vm->hook);
		metrics_label(out, "state", vm_state_name(vm->state));
		metrics_label(out, "verdict", verdict_word_name(vm->verdict.word));
	}
	return fclose(out) == 0 ? steal_pointer(&text) : NULL;
}

static void labels_free(struct labels *labels, size_t count)
{
	for (size_t i = 0; labels && i < count; i++)
		free(labels[i].text);
	free(labels);
}

static int compare_texts(const void *left, const void *right)
{
	const struct labels *const *a = left, *const *b = right;

	return strcmp((*a)->text, (*b)->text);
}

static int labels_add_pid(struct labels *labels)
{
	char *text;

	if (labels->has_pid)
		return 0;
	text = labels_make(labels->vm, true, false);
	if (!text)
		return -ENOMEM;
	free(labels->text);
	labels->text = text;
	labels->has_pid = true;
	return 0;
}

/* Clones are called the same, and what a name is cleaned of may have been all that told two apart.
 */
static int labels_tell_apart(struct labels *labels, size_t count)
{
	_cleanup_free_ struct labels **sorted = calloc(count + 1, sizeof(*sorted));
	int r = 0;

	if (!sorted)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		sorted[i] = &labels[i];
	qsort(sorted, count, sizeof(*sorted), compare_texts);
	for (size_t first = 0, end; first < count && r == 0; first = end) {
		for (end = first + 1; end < count; end++)
			if (strcmp(sorted[first]->text, sorted[end]->text) != 0)
				break;
		for (size_t i = first; end - first > 1 && i < end && r == 0; i++)
			r = labels_add_pid(sorted[i]);
	}
	return r;
}

static struct labels *labels_new(const struct snapshot *snapshot, size_t count)
{
	struct labels *labels = calloc(count + 1, sizeof(*labels));
	bool failed = !labels;

	for (size_t i = 0; labels && i < count; i++) {
		labels[i].vm = &snapshot->vms[i];
		labels[i].has_pid = !snapshot->vms[i].uuid;
		labels[i].text = labels_make(labels[i].vm, labels[i].has_pid, false);
		failed |= !labels[i].text;
	}
	if (!failed && labels_tell_apart(labels, count) == 0)
		return labels;
	labels_free(labels, count);
	return NULL;
}

/* ---- samples ---- */

static bool vm_value(const struct snapshot_vm *vm, const struct vm_metric *metric,
	int64_t *ret_count, double *ret_real)
{
	const char *member = (const char *)vm + metric->offset;

	if (metric->is_real) {
		memcpy(ret_real, member, sizeof(*ret_real));
		return isfinite(*ret_real) && *ret_real >= 0;
	}
	memcpy(ret_count, member, sizeof(*ret_count));
	return *ret_count != NOT_MEASURED;
}

static void write_value(struct metrics_writer *writer, const struct vm_metric *metric,
	const char *labels, int64_t count, double real)
{
	if (metric->is_real)
		metrics_real(writer, &metric->metric, labels, real);
	else
		metrics_count(writer, &metric->metric, labels, count);
}

static void write_metric(struct metrics_writer *writer, const struct snapshot *snapshot,
	const struct vm_metric *metric, const struct labels *labels, size_t shown)
{
	int64_t count = 0, count_sum = 0;
	double real = 0, real_sum = 0;
	bool some = false;

	for (size_t i = 0; i < snapshot->vm_count; i++) {
		if (!vm_value(&snapshot->vms[i], metric, &count, &real))
			continue;
		if (i < shown) {
			write_value(writer, metric, labels[i].text, count, real);
			continue;
		}
		some = true;
		count_sum += metric->is_real ? 0 : count;
		real_sum += metric->is_real ? real : 0;
	}
	if (some)
		write_value(writer, metric, REST_LABEL, count_sum, real_sum);
}

static int write_info(struct metrics_writer *writer, const struct labels *labels, size_t shown)
{
	static const struct metric info = { "pagefold_vm", METRIC_INFO, NULL,
		"What is done with a VM or process, and how far that is." };

	for (size_t i = 0; i < shown; i++) {
		_cleanup_free_ char *text = labels_make(labels[i].vm, labels[i].has_pid, true);

		if (!text)
			return -ENOMEM;
		metrics_count(writer, &info, text, 1);
	}
	return 0;
}

static void write_counts(
	struct metrics_writer *writer, const struct snapshot *snapshot, size_t shown)
{
	static const struct metric vms = { "pagefold_vms", METRIC_GAUGE, NULL,
		"VMs and processes, by their state." };
	static const struct metric left_out = { "pagefold_vms_left_out", METRIC_GAUGE, NULL,
		"VMs and processes that have no samples of their own, but are in the sum rest." };
	int64_t counts[VM_OFF + 1] = { 0 };
	char label[32];

	for (size_t i = 0; i < snapshot->vm_count; i++)
		counts[snapshot->vms[i].state]++;
	for (int state = 0; state <= VM_OFF; state++) {
		(void)snprintf(
			label, sizeof(label), "state=\"%s\"", vm_state_name((enum vm_state)state));
		metrics_count(writer, &vms, label, counts[state]);
	}
	metrics_count(writer, &left_out, "", (int64_t)(snapshot->vm_count - shown));
}

int metrics_vms_write(struct metrics_writer *writer, const struct snapshot *snapshot, size_t max)
{
	const size_t shown = snapshot->vm_count < max ? snapshot->vm_count : max;
	struct labels *labels = labels_new(snapshot, shown);
	int r;

	if (!labels)
		return -ENOMEM;
	write_counts(writer, snapshot, shown);
	r = write_info(writer, labels, shown);
	for (size_t i = 0; i < ARRAY_SIZE(vm_metrics); i++)
		write_metric(writer, snapshot, &vm_metrics[i], labels, shown);
	labels_free(labels, shown);
	return r;
}
