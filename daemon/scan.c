// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "hypervisor-glue/guest_reader.h"

int scanner_init(struct scanner *scanner)
{
	*scanner = (struct scanner){ 0 };
	scanner->buffer = aligned_alloc(EXTENT_BYTES, EXTENT_BYTES);
	scanner->present = malloc(EXTENT_PAGES);
	scanner->runs = calloc(EXTENT_PAGES, sizeof(*scanner->runs));
	scanner->own = calloc(EXTENT_PAGES, sizeof(*scanner->own));
	scanner->shared = calloc(EXTENT_PAGES, sizeof(*scanner->shared));
	if (scanner->buffer && scanner->present && scanner->runs && scanner->own &&
		scanner->shared)
		return 0;
	scanner_done(scanner);
	return -ENOMEM;
}

void scanner_done(struct scanner *scanner)
{
	free(scanner->buffer);
	free(scanner->present);
	free(scanner->runs);
	free(scanner->own);
	free(scanner->shared);
	*scanner = (struct scanner){ 0 };
}

/* ---- whose the pages are ---- */

struct run_list {
	struct page_run *runs;
	size_t count;
	size_t pages;
};

static void run_list_add(struct run_list *list, uint64_t page)
{
	struct page_run *last = list->count ? &list->runs[list->count - 1] : NULL;

	list->pages++;
	if (last && last->end == page)
		last->end += PAGE_BYTES;
	else
		list->runs[list->count++] =
			(struct page_run){ .start = page, .end = page + PAGE_BYTES };
}

static void runs_split(const struct page_run *runs, size_t run_count, const struct extent *extent,
	const uint8_t *tenures, struct run_list *own, struct run_list *shared)
{
	for (size_t i = 0; i < run_count; i++)
		for (uint64_t page = runs[i].start; page < runs[i].end; page += PAGE_BYTES)
			run_list_add(tenures[(page - extent->start) / PAGE_BYTES] == PAGE_SHARED
					? shared
					: own,
				page);
}

/* A huge page of a VM is always its own: KSM splits one before it folds a page of it. */
static bool is_surely_own(const struct scan_source *source, const struct page_run *runs, size_t count)
{
	return !source->skip_fork_shared && count == 1 && runs[0].huge;
}

/* The runs that are there to be read, told apart. */
static int extent_look(struct scanner *scanner, const struct scan_source *source,
	struct extent *extent, struct run_list *own, struct run_list *shared)
{
	uint8_t tenures[EXTENT_PAGES] = { 0 };
	uint64_t walked;
	size_t count;
	int error;

	/* An extent has at most EXTENT_PAGES runs: the answer is always complete. */
	error = pagemap_readable_runs(source->pagemap, extent->start, extent->end, scanner->runs,
		EXTENT_PAGES, &count, &walked);
	if (!error && count && !is_surely_own(source, scanner->runs, count))
		error = pagemap_tenures(
			source->pagemap, extent->start, extent_pages(extent), tenures);
	if (error)
		return error;
	extent->huge = count && scanner->runs[0].huge;
	runs_split(scanner->runs, count, extent, tenures, own, shared);
	return 0;
}

/* ---- what is in them ---- */

/* Fingerprints what the reader brought: the runs one after the other in the buffer. */
static void runs_fingerprint(const struct run_list *list, const uint8_t *buffer,
	const uint8_t *present, uint64_t slot_start, struct extent_prints *prints)
{
	size_t at = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct page_run *run = &list->runs[i];

		for (uint64_t address = run->start; address < run->end; address += PAGE_BYTES, at++)
			if (present[at])
				extent_prints_read(prints,
					(unsigned)((address - slot_start) / PAGE_BYTES),
					buffer + at * PAGE_BYTES);
	}
}

static int fork_shared_drop(const struct scan_source *source, const struct extent *extent,
	struct extent_prints *prints)
{
	const unsigned first = extent_first_page(extent);
	struct page_frame frames[EXTENT_PAGES];
	const int error = pagemap_frames(
		source->pagemap, extent->start, extent_pages(extent), frames);

	for (unsigned i = 0; !error && i < extent_pages(extent); i++)
		if (frames[i].mapcount > 1 && !frames[i].ksm)
			extent_prints_set_state(prints, first + i, PAGE_ABSENT);
	return error;
}

static int runs_read(struct scanner *scanner, const struct scan_source *source,
	const struct extent *extent, const struct run_list *own, const struct run_list *shared,
	struct extent_prints *prints)
{
	const uint64_t slot = extent->start / EXTENT_BYTES * EXTENT_BYTES;
	int error;

	error = guest_reader_read(
		source->process, own->runs, own->count, scanner->buffer, scanner->present);
	if (error)
		return error;
	runs_fingerprint(own, scanner->buffer, scanner->present, slot, prints);
	if (!shared->count)
		return 0;
	error = guest_reader_read_shared(source->root, source->process, shared->runs, shared->count,
		scanner->buffer, scanner->present);
	if (error)
		return error;
	runs_fingerprint(shared, scanner->buffer, scanner->present, slot, prints);
	return source->skip_fork_shared ? fork_shared_drop(source, extent, prints) : 0;
}

static unsigned prints_changed(const struct extent_prints *then, const struct extent_prints *now)
{
	static const struct extent_prints nothing;

	return extent_prints_changed(then ? then : &nothing, now ? now : &nothing);
}

/* prints is NULL where nothing of the extent is there to be read. */
static void extent_take_visit(struct extent *extent, struct extent_prints *prints)
{
	const unsigned changed = extent->visits ? prints_changed(extent->prints, prints) : 0;
	struct extent_tally tally = { 0 };

	if (prints && extent->prints && !changed) {
		free(prints); /* the ones there are know which pages have twins */
		prints = extent->prints;
	} else {
		free(extent->prints);
		extent->prints = prints;
		extent->twins = 0;
	}
	extent->changed = (uint16_t)changed;
	extent->quiet = (uint8_t)(changed ? 0 : extent->quiet + (extent->quiet < UINT8_MAX));
	if (extent->visits < UINT8_MAX)
		extent->visits++;
	if (prints)
		tally = extent_prints_tally(prints);
	extent->pages_read = tally.pages;
	extent->zeros = tally.zeros;
}

int scan_extent(struct scanner *scanner, const struct scan_source *source, struct extent *extent)
{
	_cleanup_free_ struct extent_prints *prints = NULL;
	struct run_list own = { .runs = scanner->own }, shared = { .runs = scanner->shared };
	int error;

	error = extent_look(scanner, source, extent, &own, &shared);
	if (error)
		return error;
	if (own.count || shared.count) {
		prints = calloc(1, sizeof(*prints));
		if (!prints)
			return -ENOMEM;
		error = runs_read(scanner, source, extent, &own, &shared, prints);
		if (error)
			return error;
	}
	extent_take_visit(extent, steal_pointer(&prints));
	scanner->pages_read += extent->pages_read;
	return 0;
}
