// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A host with more memory than there is: simulated fingerprints, counted and planned for by the
 * daemon's own stages in two passes, with the time the second takes and the memory that both take, as
 * one JSON object.
 *
 *     simulate_host PAGES_LOG2
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/census.h"
#include "daemon/plan.h"
#include "daemon/publish.h"
#include "tools/benchmark/simulated_host.h"

/* VMs of 4 GiB. */
#define VM_EXTENTS       2048u
#define VM_PAGES_LOG2    20u
#define PAGES_LOG2_LEAST 22u
#define PAGES_LOG2_MOST  30u

static struct twin_sums host_counted(const struct simulated_host *host)
{
	struct twin_sums total = { 0 };

	for (size_t vm = 0; vm < host->vm_count; vm++) {
		const struct twin_sums *sums = &host->core.registry.targets[vm]->sums;

		total.pages += sums->pages;
		total.zero_pages += sums->zero_pages;
		total.duplicate_pages += sums->duplicate_pages;
		total.self_bytes += sums->self_bytes;
		total.cross_bytes += sums->cross_bytes;
	}
	return total;
}

/* distinct_contents do not add up. */
static bool sums_are_true(const struct twin_sums *counted, const struct twin_sums *truth)
{
	return counted->pages == truth->pages && counted->zero_pages == truth->zero_pages &&
		counted->duplicate_pages == truth->duplicate_pages &&
		counted->self_bytes == truth->self_bytes && counted->cross_bytes == truth->cross_bytes;
}

static int host_plan(struct simulated_host *host, struct plan *ret)
{
	struct plan_vm *vms = calloc(host->vm_count, sizeof(*vms));
	int error;

	if (!vms)
		return -ENOMEM;
	for (size_t vm = 0; vm < host->vm_count; vm++)
		vms[vm] = (struct plan_vm){
			.name = target_name(host->core.registry.targets[vm]),
			.pid = target_pid(host->core.registry.targets[vm]),
			.map = &host->core.registry.targets[vm]->guest.map,
			.hugepages = HUGEPAGES_BALANCE,
			.fold = true,
			.vma_room = PLAN_VMAS_PER_EXTENT * VM_EXTENTS,
		};
	error = plan_make(vms, host->vm_count, 1, ret);
	free(vms);
	return error;
}

/* ---- the account ---- */

static uint64_t status_bytes(const char *key)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[256];
	unsigned long long kib = 0;

	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			kib = strtoull(line + strlen(key), NULL, 10);
	if (file)
		(void)fclose(file);
	return kib * 1024;
}

struct stopwatch {
	uint64_t wall_ns, cpu_ns;
};

static struct stopwatch stopwatch_start(void)
{
	return (struct stopwatch){ clock_monotonic_ns(), clock_process_cpu_ns() };
}

static void stopwatch_print(const char *prefix, const char *what, struct stopwatch begin)
{
	const struct stopwatch end = stopwatch_start();

	printf("\"%s%s_seconds\": %.3f, \"%s%s_cpu_seconds\": %.3f, ", prefix, what,
		(double)(end.wall_ns - begin.wall_ns) / 1e9, prefix, what,
		(double)(end.cpu_ns - begin.cpu_ns) / 1e9);
}

/* Count, plan and publish, as a pass does; what the pass before has left is there until then. */
static int host_pass(struct simulated_host *host, const char *prefix, struct snapshot **snapshot)
{
	struct snapshot *published;
	struct stopwatch watch = stopwatch_start();
	struct plan plan;

	if (census_take(&host->core) < 0)
		return -ENOMEM;
	stopwatch_print(prefix, "count", watch);
	watch = stopwatch_start();
	if (host_plan(host, &plan) < 0)
		return -ENOMEM;
	plan_done(&host->core.plan);
	host->core.plan = plan;
	stopwatch_print(prefix, "plan", watch);
	watch = stopwatch_start();
	published = publish_snapshot(&host->core);
	stopwatch_print(prefix, "publish", watch);
	(void)snapshot_unref(*snapshot);
	*snapshot = published;
	return published ? 0 : -ENOMEM;
}

static void host_print(const struct simulated_host *host)
{
	const struct twin_sums counted = host_counted(host);
	const struct plan *plan = &host->core.plan;
	uint64_t broken = 0;

	for (size_t i = 0; i < plan->count; i++)
		broken += plan->entries[i].huge;
	printf("\"vms\": %zu, \"pages\": %llu, \"zero_pages\": %llu, \"twin_pages\": %llu, "
	       "\"saveable_pages\": %llu, \"counted_is_true\": %s, \"plan_saved_pages\": %llu, "
	       "\"plan_huge_pages\": %llu, ",
		host->vm_count, (unsigned long long)counted.pages,
		(unsigned long long)counted.zero_pages,
		(unsigned long long)counted.duplicate_pages,
		(unsigned long long)twin_sums_saveable_bytes(&counted) / PAGE_BYTES,
		sums_are_true(&counted, &host->truth) ? "true" : "false",
		(unsigned long long)plan->saved_pages, (unsigned long long)broken);
}

static int simulate(struct simulated_host *host)
{
	const uint64_t before = status_bytes("VmRSS:");
	const struct stopwatch watch = stopwatch_start();
	struct snapshot *snapshot = NULL;
	int error = host_root_open("", &host->core.root);

	if (error < 0)
		return error;
	printf("{");
	simulated_host_lay_out(host);
	stopwatch_print("", "lay_out", watch);
	printf("\"laid_out_bytes\": %llu, ", (unsigned long long)(status_bytes("VmRSS:") - before));
	error = host_pass(host, "first_", &snapshot);
	if (!error)
		error = host_pass(host, "", &snapshot);
	host_print(host);
	printf("\"peak_bytes\": %llu}\n", (unsigned long long)(status_bytes("VmHWM:") - before));
	(void)snapshot_unref(snapshot);
	return error;
}

int main(int argc, char **argv)
{
	static struct simulated_host host = { .vm_extents = VM_EXTENTS };
	const unsigned long log2 = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;

	if (log2 < PAGES_LOG2_LEAST || log2 > PAGES_LOG2_MOST) {
		(void)fprintf(stderr, "usage: simulate_host PAGES_LOG2 (%u .. %u)\n", PAGES_LOG2_LEAST,
			PAGES_LOG2_MOST);
		return 2;
	}
	host.vm_count = (size_t)1 << (log2 - VM_PAGES_LOG2);
	return simulate(&host) < 0 ? 1 : 0;
}
