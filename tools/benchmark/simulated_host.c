// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/benchmark/simulated_host.h"

#include <stdio.h>
#include <stdlib.h>

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

struct lay_out {
	struct simulated_host *host;
	uint64_t random;
	uint64_t next_content;
	struct file *files;
	size_t file_count;
};

/* ---- chance ---- */

static uint64_t draw(struct lay_out *lay, uint64_t below)
{
	uint64_t x = lay->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return (uint64_t)((unsigned __int128)x * below >> 64);
}

/* 2 .. most, each power of two as likely as the next. */
static uint32_t draw_holders(struct lay_out *lay, uint32_t most)
{
	uint32_t powers = 0, value;

	while (UINT32_C(4) << powers <= most)
		powers++;
	value = UINT32_C(2) << draw(lay, powers + 1);
	value += (uint32_t)draw(lay, value);
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

static void *or_exit(void *memory)
{
	if (!memory) {
		(void)fprintf(stderr, "simulated host: out of memory\n");
		exit(1);
	}
	return memory;
}

static void *allocate(size_t count, size_t size)
{
	return or_exit(calloc(count ? count : 1, size));
}

static void file_draw(struct lay_out *lay, struct file *file)
{
	const uint64_t copies_most = UINT64_C(1) << draw(lay, 7);

	*file = (struct file){
		.content = lay->next_content,
		.pages = (uint32_t)(1 + draw(lay, FILE_PAGES / copies_most)),
		.holders = draw_holders(lay, (uint32_t)lay->host->vm_count),
		.first_holder = (uint32_t)draw(lay, lay->host->vm_count),
		.twice = draw(lay, TWICE_ONE_IN) == 0,
	};
	lay->next_content += file->pages;
}

static void files_draw(struct lay_out *lay)
{
	const size_t extents = lay->host->vm_count * lay->host->vm_extents;
	const uint64_t wanted = (uint64_t)extents * EXTENT_PAGES / 100 * TWIN_PERCENT;
	struct twin_sums *truth = &lay->host->truth;
	size_t room = 0;

	while (truth->duplicate_pages < wanted) {
		struct file *file;

		if (lay->file_count == room) {
			room = room ? room * 2 : 1024;
			lay->files = or_exit(
				reallocarray(lay->files, room, sizeof(*lay->files)));
		}
		file = &lay->files[lay->file_count++];
		file_draw(lay, file);
		truth->duplicate_pages += (uint64_t)file->pages * file->holders << file->twice;
		truth->distinct_contents += file->pages;
		truth->self_bytes += file->twice * PAGE_BYTES * file->pages * file->holders;
		truth->cross_bytes += PAGE_BYTES * file->pages * (file->holders - 1);
	}
}

static bool file_is_held(const struct lay_out *lay, const struct file *file, size_t vm)
{
	return (vm + lay->host->vm_count - file->first_holder) % lay->host->vm_count < file->holders;
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
static struct chunk *chunks_of(struct lay_out *lay, size_t vm, size_t *ret_count)
{
	struct chunk *chunks;
	size_t count = 0, at = 0;

	for (size_t i = 0; i < lay->file_count; i++)
		if (file_is_held(lay, &lay->files[i], vm))
			count += (size_t)(lay->files[i].pages / CHUNK_PAGES + 1)
				<< lay->files[i].twice;
	chunks = allocate(count, sizeof(*chunks));
	for (size_t i = 0; i < lay->file_count; i++) {
		if (!file_is_held(lay, &lay->files[i], vm))
			continue;
		for (int copy = 0; copy <= lay->files[i].twice; copy++)
			at = file_chunk(&lay->files[i], chunks, at);
	}
	for (size_t i = at; i > 1; i--) {
		const size_t other = draw(lay, i);
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
static unsigned quota(struct lay_out *lay, const struct stream *stream, uint64_t left, unsigned spread)
{
	const int64_t rest = (int64_t)stream->pages - (int64_t)(left - 1) * EXTENT_PAGES;
	int64_t pages = (int64_t)(stream->pages / left) + (int64_t)draw(lay, 2 * spread + 1) - spread;

	if (pages > (int64_t)EXTENT_PAGES)
		pages = EXTENT_PAGES;
	if (pages < 0)
		pages = 0;
	if (pages < rest || left == 1)
		pages = rest;
	if (pages > (int64_t)stream->pages)
		pages = (int64_t)stream->pages;
	if (pages > (int64_t)EXTENT_PAGES) {
		(void)fprintf(stderr, "simulated host: more twins than room for them\n");
		exit(1);
	}
	return (unsigned)pages;
}

static unsigned run_length(struct lay_out *lay, unsigned left, unsigned most)
{
	const unsigned length = 1 + (unsigned)draw(lay, most);

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
static void extent_lay_out(struct lay_out *lay, struct extent *extent, struct stream *stream,
	unsigned twins, unsigned zeros, unsigned twin_run)
{
	struct extent_prints *prints = extent->prints;
	unsigned run;

	zeros = zeros < EXTENT_PAGES - twins ? zeros : EXTENT_PAGES - twins;
	lay->host->truth.zero_pages += zeros;
	extent->zeros = (uint16_t)zeros;
	for (unsigned page = 0; page < EXTENT_PAGES; page += run) {
		const unsigned left = EXTENT_PAGES - page, own = left - twins - zeros;
		const unsigned drawn = (unsigned)draw(lay, left);
		const bool zero = drawn >= twins && drawn < twins + zeros;

		if (drawn < twins) {
			run = put_twins(stream, prints, page, twins, twin_run);
			twins -= run;
		} else if (zero) {
			run = run_length(lay, zeros, 16);
			zeros -= run;
		} else {
			run = run_length(lay, own, 32);
			for (unsigned i = 0; i < run; i++)
				extent_prints_set(prints, page + i,
					content_fingerprint(lay->next_content++));
		}
		for (unsigned i = 0; i < run; i++)
			extent_prints_set_state(prints, page + i, zero ? PAGE_ZERO : PAGE_SINGLE);
	}
}

static void extent_init(struct lay_out *lay, struct extent *extent)
{
	const unsigned plain_one_in = lay->host->plain_one_in;

	extent->prints = or_exit(extent_prints_new());
	extent->pages_read = EXTENT_PAGES;
	extent->visits = 2;
	extent->huge = !plain_one_in || draw(lay, plain_one_in) != 0;
}

static void vm_lay_out(struct lay_out *lay, size_t vm, struct extent_map *map)
{
	struct stream many, few;
	size_t chunk_count, dense;
	struct chunk *chunks = chunks_of(lay, vm, &chunk_count);

	streams_cut(chunks, chunk_count, DENSE_PERCENT, &many, &few);
	dense = (many.pages + DENSE_TWINS - 1) / DENSE_TWINS;
	for (size_t e = 0; e < map->count; e++) {
		const size_t left = map->count - e;
		struct extent *extent = &map->extents[e];

		extent_init(lay, extent);
		if (draw(lay, left) < dense) {
			const unsigned twins = quota(lay, &many, dense--, DENSE_SPREAD);

			extent_lay_out(lay, extent, &many, twins,
				(unsigned)draw(lay, ZEROS_DENSE), CHUNK_PAGES);
		} else {
			const uint64_t sparse = left - dense;
			const unsigned twins =
				quota(lay, &few, sparse, (unsigned)(few.pages / sparse));
			const bool zeros = draw(lay, ZEROS_ONE_IN) == 0;

			extent_lay_out(lay, extent, &few, twins,
				zeros ? ZEROS_MANY : (unsigned)draw(lay, ZEROS_FEW), 1);
		}
	}
	free(chunks);
}

/* ---- the host ---- */

static struct target *vm_new(const struct simulated_host *host, size_t vm)
{
	const uint64_t base = UINT64_C(0x7f0000000000);
	const struct ram_range range = { base, base + host->vm_extents * EXTENT_BYTES, RAM_MERGEABLE };
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

void simulated_host_lay_out(struct simulated_host *host)
{
	struct registry *registry = &host->core.registry;
	struct lay_out lay = { .host = host, .random = 20 };

	files_draw(&lay);
	registry->targets = allocate(host->vm_count, sizeof(struct target *));
	for (size_t vm = 0; vm < host->vm_count; vm++) {
		registry->targets[registry->count++] = vm_new(host, vm);
		vm_lay_out(&lay, vm, &registry->targets[vm]->guest.map);
	}
	host->truth.pages = (uint64_t)host->vm_count * host->vm_extents * EXTENT_PAGES;
	free(lay.files);
}
