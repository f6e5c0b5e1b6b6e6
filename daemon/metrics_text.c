// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metrics_text.h"

#include <math.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/metrics_vms.h"

enum value { COUNT, SECONDS, NANOSECONDS };

struct host_metric {
	struct metric metric;
	enum value value;
	size_t offset; /* in struct snapshot */
};

// clang-format off
/* Names are what stands behind pagefold_. */
#define ENTRY(name, type, unit, value, member, help) \
	{ { "pagefold_" name, type, unit, help }, value, offsetof(struct snapshot, member) }
#define BYTES(name, member, help) \
	ENTRY(name "_bytes", METRIC_GAUGE, "bytes", COUNT, member, help)
#define GAUGE(name, member, help) ENTRY(name, METRIC_GAUGE, NULL, COUNT, member, help)
#define TIME(name, value, member, help) \
	ENTRY(name "_seconds", METRIC_GAUGE, "seconds", value, member, help)

static const struct host_metric host_metrics[] = {
	BYTES("host_memory", memory_bytes,
		"Memory of the host."),
	BYTES("host_available", available_bytes,
		"Memory of the host that is available."),
	BYTES("host_swap_free", swap_free_bytes,
		"Swap of the host that is free."),
	BYTES("reclaimed", reclaimed_bytes,
		"Memory that folding has brought back, read from the page tables."),
	BYTES("reclaimed_zero", reclaimed_zero_bytes,
		"Of the reclaimed memory, what were pages full of zeros."),
	BYTES("reclaimed_self", reclaimed_self_bytes,
		"Of the reclaimed memory, what one VM had more than once."),
	BYTES("reclaimed_cross", reclaimed_cross_bytes,
		"Of the reclaimed memory, what several VMs had."),
	BYTES("predicted", predicted_bytes,
		"What plans said the bursts would bring back, all together."),
	BYTES("delivered", delivered_bytes,
		"What those bursts brought back."),
	BYTES("net", net_bytes,
		"Reclaimed memory less what folding itself takes."),
	GAUGE("break_even_bytes_per_cpu_second", verdict.break_even_bytes,
		"What a second of CPU time must bring here to be worth it."),
	BYTES("potential", potential_bytes,
		"Memory that folding could still bring back, an estimate."),
	BYTES("exposure", exposure_bytes,
		"Memory that would be needed at once if every fold broke."),
	BYTES("metadata", metadata_bytes,
		"Memory that folding takes: of KSM, and the daemon itself."),
	ENTRY("cow_breaks", METRIC_COUNTER, NULL, COUNT, cow_breaks,
		"Folded pages that were written to, and copied again."),
	TIME("cow_break_median", NANOSECONDS, cow_break_ns_p50,
		"How long such a write takes, median."),
	TIME("cow_break_p99", NANOSECONDS, cow_break_ns_p99,
		"How long such a write takes, 99th percentile."),
	ENTRY("stall_seconds", METRIC_COUNTER, "seconds", SECONDS, stall_seconds_estimate,
		"For how long folding has held up all VMs together, an estimate."),
	TIME("stall_longest", SECONDS, stall_longest_seconds,
		"The longest time for which one request that unfolds memory may have held up a VM."),
	GAUGE("hugepages_lost", hugepages_lost,
		"Huge pages that were split to fold parts of them."),
	TIME("last_pass_duration", SECONDS, pass_seconds,
		"How long the last pass took."),
	GAUGE("last_pass_pages", pages_scanned,
		"Pages that the last pass read."),
	GAUGE("last_pass_bytes_per_second", bytes_per_second,
		"How fast the last pass read."),
	BYTES("allocator_allocated", allocator.allocated_bytes,
		"Memory that the daemon has asked its allocator for."),
	BYTES("allocator_active", allocator.active_bytes,
		"Pages of the daemon's allocator that are in use."),
	BYTES("allocator_metadata", allocator.metadata_bytes,
		"What the daemon's allocator takes for itself."),
	BYTES("allocator_resident", allocator.resident_bytes,
		"Physical memory of the daemon's allocator, at most."),
	BYTES("allocator_mapped", allocator.mapped_bytes,
		"Memory that the daemon's allocator has mapped."),
	BYTES("allocator_retained", allocator.retained_bytes,
		"Addresses without memory that the daemon's allocator keeps."),
};
// clang-format on

static void write_host_metric(struct metrics_writer *writer, const struct snapshot *snapshot,
	const struct host_metric *host)
{
	const char *member = (const char *)snapshot + host->offset;
	int64_t count;
	double seconds;

	if (host->value == SECONDS) {
		memcpy(&seconds, member, sizeof(seconds));
		if (isfinite(seconds) && seconds >= 0)
			metrics_real(writer, &host->metric, "", seconds);
		return;
	}
	memcpy(&count, member, sizeof(count));
	if (count == NOT_MEASURED)
		return;
	if (host->value == NANOSECONDS)
		metrics_real(writer, &host->metric, "", (double)count / (double)NS_PER_S);
	else
		metrics_count(writer, &host->metric, "", count);
}

/* ---- what is more than a number ---- */

static void write_info(struct metrics_writer *writer, const struct snapshot *snapshot)
{
	static const struct metric build = { "pagefold_build", METRIC_INFO, NULL,
		"The version of the daemon." };
	static const struct metric host = { "pagefold_host", METRIC_INFO, NULL,
		"The kernel, who drives ksmd, and the trust group that may fold at present." };
	_cleanup_free_ char *labels = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&labels, &length);

	metrics_count(writer, &build, "version=\"" PAGEFOLD_VERSION "\"", 1);
	if (!out)
		return;
	metrics_label(out, "kernel", snapshot->kernel);
	metrics_label(out, "ksm_driver", snapshot->ksm_driver);
	metrics_label(out, "active_group", snapshot->active_group);
	if (fclose(out) == 0)
		metrics_count(writer, &host, labels, 1);
}

static int64_t texts_count(char *const *texts)
{
	int64_t count = 0;

	for (; texts && *texts; texts++)
		count++;
	return count;
}

static void write_state(struct metrics_writer *writer, const struct snapshot *snapshot)
{
	static const struct metric paused = { "pagefold_paused", METRIC_GAUGE, NULL,
		"1 while the operator has it paused." };
	static const struct metric blocked = { "pagefold_blocked_reasons", METRIC_GAUGE, NULL,
		"How many things keep it from folding; pagefold status names them." };
	static const struct metric warnings = { "pagefold_warnings", METRIC_GAUGE, NULL,
		"How many warnings there are; pagefold status has them." };

	metrics_count(writer, &paused, "", snapshot->paused);
	metrics_count(writer, &blocked, "", texts_count(snapshot->blocked_by));
	metrics_count(writer, &warnings, "", texts_count(snapshot->warnings));
}

/* Unknown: no sample. */
static void write_verdict(struct metrics_writer *writer, const struct snapshot *snapshot)
{
	static const struct metric verdict = { "pagefold_verdict", METRIC_INFO, NULL,
		"Whether folding is worth what it costs: worth it, marginal, or costs more than it "
		"gives." };
	const char *word = verdict_word_name(snapshot->verdict.word);
	char label[64];

	(void)snprintf(label, sizeof(label), "verdict=\"%s\"", word ? word : "");
	if (word)
		metrics_count(writer, &verdict, label, 1);
}

static void write_cpu(struct metrics_writer *writer, const struct snapshot *snapshot)
{
	static const struct metric cpu = { "pagefold_cpu_seconds", METRIC_COUNTER, "seconds",
		"CPU time: of the daemon, ksmd for it, the kernel threads of the rings, the attach "
		"helper." };
	const struct {
		const char *labels;
		double seconds;
	} parts[] = {
		{ "part=\"scan\"", snapshot->scan_cpu_seconds },
		{ "part=\"ksmd\"", snapshot->ksmd_cpu_seconds },
		{ "part=\"ring\"", snapshot->ring_cpu_seconds },
		{ "part=\"helper\"", snapshot->helper_cpu_seconds },
	};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (isfinite(parts[i].seconds) && parts[i].seconds >= 0)
			metrics_real(writer, &cpu, parts[i].labels, parts[i].seconds);
}

static void write_passes(struct metrics_writer *writer, const struct snapshot *snapshot)
{
	static const struct metric passes = { "pagefold_passes", METRIC_COUNTER, NULL,
		"Passes that have ended." };
	static const struct metric when = { "pagefold_last_pass_timestamp_seconds", METRIC_GAUGE,
		"seconds", "When the last pass ended, in seconds since 1970." };

	metrics_count(writer, &passes, "", (int64_t)snapshot->pass_number);
	if (snapshot->pass_number)
		metrics_real(writer, &when, "", (double)snapshot->finished_at.tv_sec);
}

char *metrics_text(const struct snapshot *snapshot, enum metrics_format format)
{
	char *text = NULL;
	size_t length = 0;
	struct metrics_writer writer = { .format = format };
	int r;

	writer.out = open_memstream(&text, &length);
	if (!writer.out)
		return NULL;
	write_info(&writer, snapshot);
	write_state(&writer, snapshot);
	write_passes(&writer, snapshot);
	write_cpu(&writer, snapshot);
	write_verdict(&writer, snapshot);
	for (size_t i = 0; i < ARRAY_SIZE(host_metrics); i++)
		write_host_metric(&writer, snapshot, &host_metrics[i]);
	r = metrics_vms_write(&writer, snapshot, METRICS_VMS_MAX);
	metrics_end(&writer);
	if (fclose(writer.out) == 0 && r == 0)
		return text;
	free(text);
	return NULL;
}
