// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A host with more memory than there is: fingerprints of VMs that do not exist, counted and planned
 * for by the daemon's own stages, with the time and the memory that takes, as one JSON object.
 *
 *     simulate_host PAGES_LOG2
 *
 * VMs of 4 GiB in one group. What they share is in files; how many VMs hold a file is drawn so that
 * each size of audience has as many pages as any other (Zipf with exponent 1): base systems that all
 * have, applications that two have. A VM has its files' pages in runs of up to 64, in an order of its
 * own, 93 % of them in extents that are half to wholly twins, the rest one by one anywhere: as was
 * measured on idle Debian guests. One file in twenty is there twice. 15 % of the pages are twins,
 * 15 % zero (some extents mostly so, few everywhere), the others nobody else has. No two contents
 * have the same fingerprint, so that what was laid out is exactly what must be counted.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "daemon/census.h"
#include "daemon/plan.h"

#define VM_EXTENTS    2048u
#define TWIN_PERCENT  15u
#define DENSE_PERCENT 93u /* of the twins */
#define TWICE_ONE_IN  20u
#define CHUNK_PAGES   64u
#define FILE_PAGES    1024u /* at most */
#define GROUP         "simulated"

/* Twins in an extent that has many, on average; the spread on both sides reaches from half to all. */
#define DENSE_TWINS  380u
#define DENSE_SPREAD 128u

/* Zero pages of an extent: with many twins, with many zero pages (one in eight), otherwise. At most. */
#define ZEROS_DENSE   40u
#define ZEROS_ONE_IN  8u
#define ZEROS_MANY    300u
#define ZEROS_FEW     120u

struct file {
	uint64_t content; /* of its first page */
	uint32_t pages, holders, first_holder;
	bool twice;
};

struct chunk {
	uint64_t content;
	uint32_t pages;
};

/* Chunks still to be laid out: from `next` up to `end`. */
struct stream {
	struct chunk *chunks;
	size_t next, end;
	uint64_t pages;
};

struct host {
	uint64_t random;
	uint64_t next_content;
	struct file *files;
	size_t file_count, vm_count;
	struct twin_sums truth;
	struct core core;
};

/* ---- chance ---- */

static uint64_t draw(struct host *host, uint64_t below)
{
	uint64_t x = host->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return (uint64_t)((unsigned __int128)x * below >> 64);
}

/* 2 .. most, each power of two as likely as the next. */
static uint32_t draw_holders(struct host *host, uint32_t most)
{
	uint32_t powers = 0, value;

	while (UINT32_C(4) << powers <= most)
		powers++;
	value = UINT32_C(2) << draw(host, powers + 1);
	value += (uint32_t)draw(host, value);
	return value < most ? value : most;
}

/* Different contents have different fingerprints: each step can be undone. */
static uint64_t content_fingerprint(uint64_t content)
{
	const uint64_t mask = (UINT64_C(1) << 48) - 1;

	content = content * UINT64_C(0x9e3779b97f4b) & mask;
	content ^= content >> 24;
	content = content * UINT64_C(0xc2b2ae3d27d5) & mask;
	return content ^ content >> 25;
}

/* ---- what is shared ---- */

static void *allocate(size_t count, size_t size)
{
	void *memory = calloc(count ? count : 1, size);

	if (!memory) {
		(void)fprintf(stderr, "simulate_host: out of memory\n");
		exit(1);
	}
	return memory;
}

static void file_draw(struct host *host, struct file *file)
{
	const uint64_t copies_most = UINT64_C(1) << draw(host, 7);

	*file = (struct file){
		.content = host->next_content,
		.pages = (uint32_t)(1 + draw(host, FILE_PAGES / copies_most)),
		.holders = draw_holders(host, (uint32_t)host->vm_count),
		.first_holder = (uint32_t)draw(host, host->vm_count),
		.twice = draw(host, TWICE_ONE_IN) == 0,
	};
	host->next_content += file->pages;
}

static void files_draw(struct host *host)
{
	const uint64_t wanted = (uint64_t)host->vm_count * VM_EXTENTS * EXTENT_PAGES / 100 * TWIN_PERCENT;
	struct twin_sums *truth = &host->truth;
	size_t room = 0;

	while (truth->duplicate_pages < wanted) {
		struct file *file;

		if (host->file_count == room) {
			room = room ? room * 2 : 1024;
			host->files = reallocarray(host->files, room, sizeof(*host->files));
			if (!host->files)
				(void)allocate(SIZE_MAX / 2, 2);
		}
		file = &host->files[host->file_count++];
		file_draw(host, file);
		truth->duplicate_pages += (uint64_t)file->pages * file->holders << file->twice;
		truth->distinct_contents += file->pages;
		truth->self_bytes += file->twice * PAGE_BYTES * file->pages * file->holders;
		truth->cross_bytes += PAGE_BYTES * file->pages * (file->holders - 1);
	}
}

static bool file_is_held(const struct host *host, const struct file *file, size_t vm)
{
	return (vm + host->vm_count - file->first_holder) % host->vm_count < file->holders;
}

static size_t file_chunk(const struct file *file, struct chunk *chunks, size_t at)
{
	for (uint32_t page = 0; page < file->pages; page += CHUNK_PAGES) {
		const uint32_t left = file->pages - page;

		chunks[at++] = (struct chunk){ file->content + page,
			left < CHUNK_PAGES ? left : CHUNK_PAGES };
	}
	return at;
}

/* What the VM holds of the files, in an order of its own. */
static struct chunk *chunks_of(struct host *host, size_t vm, size_t *ret_count)
{
	struct chunk *chunks;
	size_t count = 0, at = 0;

	for (size_t i = 0; i < host->file_count; i++)
		if (file_is_held(host, &host->files[i], vm))
			count += (size_t)(host->files[i].pages / CHUNK_PAGES + 1)
				<< host->files[i].twice;
	chunks = allocate(count, sizeof(*chunks));
	for (size_t i = 0; i < host->file_count; i++) {
		if (!file_is_held(host, &host->files[i], vm))
			continue;
		for (int copy = 0; copy <= host->files[i].twice; copy++)
			at = file_chunk(&host->files[i], chunks, at);
	}
	for (size_t i = at; i > 1; i--) {
		const size_t other = draw(host, i);
		const struct chunk swapped = chunks[i - 1];

		chunks[i - 1] = chunks[other];
		chunks[other] = swapped;
	}
	*ret_count = at;
	return chunks;
}

/* The first `percent` of the pages go to *ret_first, the others to *ret_rest. */
static void streams_cut(struct chunk *chunks, size_t count, unsigned percent,
	struct stream *ret_first, struct stream *ret_rest)
{
	uint64_t total = 0, pages = 0;
	size_t cut = 0;

	for (size_t i = 0; i < count; i++)
		total += chunks[i].pages;
	while (cut < count && pages < total * percent / 100)
		pages += chunks[cut++].pages;
	*ret_first = (struct stream){ chunks, 0, cut, pages };
	*ret_rest = (struct stream){ chunks, cut, count, total - pages };
}

/* ---- what lies where ---- */

/* Its share of what is left, give or take `spread`, such that the rest fits in `left - 1` extents. */
static unsigned quota(struct host *host, const struct stream *stream, uint64_t left, unsigned spread)
{
	const int64_t rest = (int64_t)stream->pages - (int64_t)(left - 1) * EXTENT_PAGES;
	int64_t pages = (int64_t)(stream->pages / left) + (int64_t)draw(host, 2 * spread + 1) - spread;

	if (pages > (int64_t)EXTENT_PAGES)
		pages = EXTENT_PAGES;
	if (pages < 0)
		pages = 0;
	if (pages < rest || left == 1)
		pages = rest;
	if (pages > (int64_t)stream->pages)
		pages = (int64_t)stream->pages;
	if (pages > (int64_t)EXTENT_PAGES) {
		(void)fprintf(stderr, "simulate_host: more twins than room for them\n");
		exit(1);
	}
	return (unsigned)pages;
}

static unsigned run_length(struct host *host, unsigned left, unsigned most)
{
	const unsigned length = 1 + (unsigned)draw(host, most);

	return length < left ? length : left;
}

static unsigned put_twins(struct stream *stream, struct extent_prints *prints, unsigned page,
	unsigned left, unsigned most)
{
	struct chunk *chunk = &stream->chunks[stream->next];
	unsigned run = chunk->pages < left ? chunk->pages : left;

	run = run < most ? run : most;
	for (unsigned i = 0; i < run; i++)
		extent_prints_set(prints, page + i, content_fingerprint(chunk->content++));
	chunk->pages -= run;
	stream->next += !chunk->pages;
	stream->pages -= run;
	return run;
}

/* Runs of twins, zero pages and pages of its own, until none is left. */
static void extent_lay_out(struct host *host, struct extent *extent, struct stream *stream,
	unsigned twins, unsigned zeros, unsigned twin_run)
{
	struct extent_prints *prints = extent->prints;
	unsigned run;

	zeros = zeros < EXTENT_PAGES - twins ? zeros : EXTENT_PAGES - twins;
	host->truth.zero_pages += zeros;
	extent->zeros = (uint16_t)zeros;
	for (unsigned page = 0; page < EXTENT_PAGES; page += run) {
		const unsigned left = EXTENT_PAGES - page, own = left - twins - zeros;
		const unsigned drawn = (unsigned)draw(host, left);
		const bool zero = drawn >= twins && drawn < twins + zeros;

		if (drawn < twins) {
			run = put_twins(stream, prints, page, twins, twin_run);
			twins -= run;
		} else if (zero) {
			run = run_length(host, zeros, 16);
			zeros -= run;
		} else {
			run = run_length(host, own, 32);
			for (unsigned i = 0; i < run; i++)
				extent_prints_set(prints, page + i,
					content_fingerprint(host->next_content++));
		}
		for (unsigned i = 0; i < run; i++)
			extent_prints_set_state(prints, page + i, zero ? PAGE_ZERO : PAGE_SINGLE);
	}
}

static void extent_init(struct extent *extent)
{
	extent->prints = extent_prints_new();
	if (!extent->prints)
		exit(1);
	extent->pages_read = EXTENT_PAGES;
	extent->visits = 2;
	extent->huge = true;
}

static void vm_lay_out(struct host *host, size_t vm, struct extent_map *map)
{
	struct stream many, few;
	size_t chunk_count, dense;
	struct chunk *chunks = chunks_of(host, vm, &chunk_count);

	streams_cut(chunks, chunk_count, DENSE_PERCENT, &many, &few);
	dense = (many.pages + DENSE_TWINS - 1) / DENSE_TWINS;
	for (size_t e = 0; e < map->count; e++) {
		const size_t left = map->count - e;
		struct extent *extent = &map->extents[e];

		extent_init(extent);
		if (draw(host, left) < dense) {
			const unsigned twins = quota(host, &many, dense--, DENSE_SPREAD);

			extent_lay_out(host, extent, &many, twins,
				(unsigned)draw(host, ZEROS_DENSE), CHUNK_PAGES);
		} else {
			const uint64_t sparse = left - dense;
			const unsigned twins =
				quota(host, &few, sparse, (unsigned)(few.pages / sparse));
			const bool zeros = draw(host, ZEROS_ONE_IN) == 0;

			extent_lay_out(host, extent, &few, twins,
				zeros ? ZEROS_MANY : (unsigned)draw(host, ZEROS_FEW), 1);
		}
	}
	free(chunks);
}

/* ---- the host ---- */

static struct target *vm_new(size_t vm)
{
	const uint64_t base = UINT64_C(0x7f0000000000);
	const struct ram_range range = { base, base + VM_EXTENTS * EXTENT_BYTES, RAM_MERGEABLE };
	struct target *target = allocate(1, sizeof(*target));

	target->guest.process.id.pid = (pid_t)(1000 + vm);
	(void)snprintf(target->guest.vmm.cmdline.name, sizeof(target->guest.vmm.cmdline.name),
		"simulated-%zu", vm);
	policy_init(&target->policy, MODE_MERGE);
	(void)snprintf(target->policy.group, sizeof(target->policy.group), GROUP);
	target->present = target->mapped = true;
	if (extent_map_update(&target->guest.map, &range, 1) < 0)
		exit(1);
	return target;
}

static void host_lay_out(struct host *host)
{
	struct registry *registry = &host->core.registry;

	files_draw(host);
	registry->targets = allocate(host->vm_count, sizeof(struct target *));
	for (size_t vm = 0; vm < host->vm_count; vm++) {
		registry->targets[registry->count++] = vm_new(vm);
		vm_lay_out(host, vm, &registry->targets[vm]->guest.map);
	}
	host->truth.pages = (uint64_t)host->vm_count * VM_EXTENTS * EXTENT_PAGES;
	free(host->files);
}

static struct twin_sums host_counted(const struct host *host)
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

static int host_plan(struct host *host, struct plan *ret)
{
	struct plan_vm *vms = allocate(host->vm_count, sizeof(*vms));
	int error;

	for (size_t vm = 0; vm < host->vm_count; vm++)
		vms[vm] = (struct plan_vm){
			.name = target_name(host->core.registry.targets[vm]),
			.pid = target_pid(host->core.registry.targets[vm]),
			.map = &host->core.registry.targets[vm]->guest.map,
			.hugepages = HUGEPAGES_BALANCE,
			.fold = true,
			.vma_room = 2 * VM_EXTENTS,
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

static void stopwatch_print(const char *what, struct stopwatch begin)
{
	const struct stopwatch end = stopwatch_start();

	printf("\"%s_seconds\": %.3f, \"%s_cpu_seconds\": %.3f, ", what,
		(double)(end.wall_ns - begin.wall_ns) / 1e9, what,
		(double)(end.cpu_ns - begin.cpu_ns) / 1e9);
}

static int simulate(struct host *host)
{
	const uint64_t before = status_bytes("VmRSS:");
	struct stopwatch watch;
	struct twin_sums counted;
	struct plan plan;
	uint64_t broken = 0;

	printf("{");
	watch = stopwatch_start();
	host_lay_out(host);
	stopwatch_print("lay_out", watch);
	printf("\"laid_out_bytes\": %llu, ", (unsigned long long)(status_bytes("VmRSS:") - before));
	watch = stopwatch_start();
	if (census_take(&host->core) < 0)
		return 1;
	stopwatch_print("count", watch);
	watch = stopwatch_start();
	if (host_plan(host, &plan) < 0)
		return 1;
	stopwatch_print("plan", watch);
	counted = host_counted(host);
	for (size_t i = 0; i < plan.count; i++)
		broken += plan.entries[i].huge;
	printf("\"vms\": %zu, \"pages\": %llu, \"zero_pages\": %llu, \"twin_pages\": %llu, "
	       "\"saveable_pages\": %llu, \"counted_is_true\": %s, \"plan_saved_pages\": %llu, "
	       "\"plan_huge_pages\": %llu, \"peak_bytes\": %llu}\n",
		host->vm_count, (unsigned long long)counted.pages,
		(unsigned long long)counted.zero_pages,
		(unsigned long long)counted.duplicate_pages,
		(unsigned long long)twin_sums_saveable_bytes(&counted) / PAGE_BYTES,
		sums_are_true(&counted, &host->truth) ? "true" : "false",
		(unsigned long long)plan.saved_pages, (unsigned long long)broken,
		(unsigned long long)(status_bytes("VmHWM:") - before));
	plan_done(&plan);
	return 0;
}

int main(int argc, char **argv)
{
	static struct host host = { .random = 20 };
	const unsigned long log2 = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;

	if (log2 < 22 || log2 > 30) {
		(void)fprintf(stderr, "usage: simulate_host PAGES_LOG2 (22 .. 30)\n");
		return 2;
	}
	host.vm_count = (size_t)1 << (log2 - 20);
	return simulate(&host);
}
