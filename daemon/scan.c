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
	if (scanner->buffer && scanner->present && scanner->runs)
		return 0;
	scanner_done(scanner);
	return -ENOMEM;
}

void scanner_done(struct scanner *scanner)
{
	free(scanner->buffer);
	free(scanner->present);
	free(scanner->runs);
	*scanner = (struct scanner){ 0 };
}

/* Fingerprints what the reader brought: the runs one after the other in the buffer. */
static void runs_fingerprint(const struct scanner *scanner, size_t run_count, uint64_t slot_start,
	struct extent_prints *prints)
{
	size_t at = 0;

	for (size_t i = 0; i < run_count; i++) {
		const struct page_run *run = &scanner->runs[i];

		for (uint64_t address = run->start; address < run->end; address += PAGE_BYTES, at++)
			if (scanner->present[at])
				extent_prints_read(prints,
					(unsigned)((address - slot_start) / PAGE_BYTES),
					scanner->buffer + at * PAGE_BYTES);
	}
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

	free(extent->prints);
	extent->prints = prints;
	extent->changed = (uint16_t)changed;
	extent->twins = 0;
	extent->quiet = (uint8_t)(changed ? 0 : extent->quiet + (extent->quiet < UINT8_MAX));
	if (extent->visits < UINT8_MAX)
		extent->visits++;
	if (prints)
		tally = extent_prints_tally(prints);
	extent->pages_read = tally.pages;
	extent->zeros = tally.zeros;
}

static int fork_shared_drop(
	struct pagemap *pagemap, const struct extent *extent, struct extent_prints *prints)
{
	const unsigned first = extent_first_page(extent);
	struct page_frame frames[EXTENT_PAGES];
	const int error = pagemap_frames(pagemap, extent->start, extent_pages(extent), frames);

	for (unsigned i = 0; !error && i < extent_pages(extent); i++)
		if (frames[i].mapcount > 1 && !frames[i].ksm)
			extent_prints_set_state(prints, first + i, PAGE_ABSENT);
	return error;
}

int scan_extent(struct scanner *scanner, const struct process *process, struct pagemap *pagemap,
	bool skip_fork_shared, struct extent *extent)
{
	_cleanup_free_ struct extent_prints *prints = NULL;
	uint64_t walked;
	size_t run_count;
	int error;

	/* An extent has at most EXTENT_PAGES runs: the answer is always complete. */
	error = pagemap_readable_runs(pagemap, extent->start, extent->end, scanner->runs,
		EXTENT_PAGES, &run_count, &walked);
	if (error)
		return error;
	if (run_count) {
		prints = calloc(1, sizeof(*prints));
		if (!prints)
			return -ENOMEM;
		error = guest_reader_read(process, scanner->runs, run_count, scanner->buffer,
			scanner->present);
		if (error)
			return error;
		runs_fingerprint(scanner, run_count,
			extent->start / EXTENT_BYTES * EXTENT_BYTES, prints);
		if (skip_fork_shared)
			error = fork_shared_drop(pagemap, extent, prints);
		if (error)
			return error;
	}
	extent->huge = run_count && scanner->runs[0].huge;
	extent_take_visit(extent, steal_pointer(&prints));
	scanner->pages_read += extent->pages_read;
	return 0;
}
