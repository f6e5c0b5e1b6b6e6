// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/guest_reader.h"
#include "hypervisor-glue/numa.h"

int scanner_init(struct scanner *scanner)
{
	*scanner = (struct scanner){ 0 };
	scanner->buffer = aligned_alloc(PAGE_BYTES, READ_SIZE_MOST_PAGES * PAGE_BYTES);
	scanner->present = malloc(READ_SIZE_MOST_PAGES);
	scanner->runs = calloc(EXTENT_PAGES, sizeof(*scanner->runs));
	if (!scanner->buffer || !scanner->present || !scanner->runs) {
		scanner_done(scanner);
		return -ENOMEM;
	}
	if (getrandom(&scanner->random, sizeof(scanner->random), GRND_NONBLOCK) !=
		(ssize_t)sizeof(scanner->random))
		scanner->random = clock_monotonic_ns(); /* as early in the boot as that */
	return 0;
}

void scanner_done(struct scanner *scanner)
{
	free(scanner->buffer);
	free(scanner->present);
	free(scanner->runs);
	*scanner = (struct scanner){ 0 };
}

uint64_t scanner_charge(struct scanner *scanner)
{
	const uint64_t now_ns = clock_thread_cpu_ns(), spent_ns = now_ns - scanner->clock_ns;

	scanner->clock_ns = now_ns;
	scanner->charged_ns += spent_ns;
	return spent_ns;
}

/* ---- what is in the pages ---- */

/* The work on one extent: what it is, and what of it is there. */
struct scan {
	struct scanner *scanner;
	const struct scan_source *source;
	struct extent *extent;
	struct extent_view view;
	uint16_t apart[EXTENT_PAGES]; /* as extent_prints_read() has it */
};

static uint64_t page_address(const struct scan *scan, unsigned page)
{
	return scan->extent->start / EXTENT_BYTES * EXTENT_BYTES + page * PAGE_BYTES;
}

/* Up to as many pages of the set as are read at a time, from `page` on: as runs, and one after the
 * other in pages[]. Returns the page to go on with. */
static unsigned piece_cut(const struct scan *scan, const struct page_set *set, unsigned page,
	uint16_t pages[READ_SIZE_MOST_PAGES], size_t *ret_pages, size_t *ret_runs)
{
	const unsigned most = read_size_pages(&scan->scanner->read_size);
	struct page_run *runs = scan->scanner->runs;
	size_t count = 0, run_count = 0;

	for (page = page_set_next(set, page); page < EXTENT_PAGES && count < most;
		page = page_set_next(set, page + 1)) {
		const uint64_t address = page_address(scan, page);

		if (run_count && runs[run_count - 1].end == address)
			runs[run_count - 1].end += PAGE_BYTES;
		else
			runs[run_count++] =
				(struct page_run){ .start = address, .end = address + PAGE_BYTES };
		pages[count++] = (uint16_t)page;
	}
	*ret_pages = count;
	*ret_runs = run_count;
	return page;
}

/* What is done with a page that was read; false: no more of them are wanted. */
typedef bool (*page_fn)(
	struct extent_prints *prints, unsigned page, const void *bytes, unsigned apart);

static bool page_take(
	struct extent_prints *prints, unsigned page, const void *bytes, unsigned apart)
{
	extent_prints_read(prints, page, bytes, apart);
	return true;
}

static bool page_compare(
	struct extent_prints *prints, unsigned page, const void *bytes, unsigned apart)
{
	return extent_prints_holds(prints, page, bytes, apart);
}

/* Reads the pages of the set. 1: all of them; 0: page_fn had enough. A page that went meanwhile is
 * left out. */
static int pages_read(const struct scan *scan, const struct page_set *set, bool shared, page_fn fn,
	struct extent_prints *prints)
{
	struct scanner *scanner = scan->scanner;
	const struct scan_source *source = scan->source;
	unsigned next = 0;

	for (;;) {
		uint16_t pages[READ_SIZE_MOST_PAGES];
		size_t count, run_count;
		int error;

		next = piece_cut(scan, set, next, pages, &count, &run_count);
		if (!count)
			return 1;
		error = shared ? guest_reader_read_shared(source->root, source->process,
					 scanner->runs, run_count, scanner->buffer,
					 scanner->present)
			       : guest_reader_read(source->process, scanner->runs, run_count,
					 scanner->buffer, scanner->present);
		if (error)
			return error;
		scanner->pages_read += count;
		for (size_t i = 0; i < count; i++)
			if (scanner->present[i] &&
				!fn(prints, pages[i], scanner->buffer + i * PAGE_BYTES,
					scan->apart[pages[i]]))
				return 0;
	}
}

/* All of an extent, its own: that is what ways to read are compared by. */
static int whole_read(
	const struct scan *scan, const struct page_set *set, struct extent_prints *prints)
{
	struct read_size *size = &scan->scanner->read_size;
	uint64_t begin_ns;
	int r;

	if (!read_size_is_on_trial(size) || page_set_count(set) < EXTENT_PAGES)
		return pages_read(scan, set, false, page_take, prints);
	begin_ns = clock_thread_cpu_ns();
	r = pages_read(scan, set, false, page_take, prints);
	if (r > 0)
		read_size_note(size, clock_thread_cpu_ns() - begin_ns);
	return r;
}

static int fork_shared_drop(const struct scan *scan, struct extent_prints *prints)
{
	const struct extent *extent = scan->extent;
	const unsigned first = extent_first_page(extent);
	struct page_frame frames[EXTENT_PAGES];
	const int error =
		pagemap_frames(scan->source->pagemap, extent->start, extent_pages(extent), frames);

	for (unsigned i = 0; !error && i < extent_pages(extent); i++)
		if (frames[i].mapcount > 1 && !frames[i].ksm)
			extent_prints_set_state(prints, first + i, PAGE_ABSENT);
	return error;
}

/* ---- the visit's end ---- */

static uint8_t count_up(uint8_t count)
{
	return (uint8_t)(count + (count < UINT8_MAX));
}

/* prints is NULL where nothing of the extent is there to be read. */
static void extent_take_visit(struct extent *extent, struct extent_prints *prints)
{
	static const struct extent_prints nothing;
	const struct extent_prints *then = extent->prints ? extent->prints : &nothing;
	struct extent_tally tally = { 0 };
	unsigned changed = 0;

	if (extent->visits)
		changed = extent_prints_changed(then, prints ? prints : &nothing);
	if (prints) {
		extent_prints_keep_twins(prints, then);
		tally = extent_prints_tally(prints);
	}
	extent_prints_free(extent->prints);
	extent->prints = prints;
	extent->changed = (uint16_t)changed;
	extent->pages_read = tally.pages;
	extent->zeros = tally.zeros;
	extent->twins = tally.twins;
}

static void extent_count_visit(struct extent *extent)
{
	extent->restless = extent->changed ? count_up(extent->restless) : 0;
	extent->quiet = extent->changed ? 0 : count_up(extent->quiet);
	extent->visits = count_up(extent->visits);
}

static void cleanup_prints(struct extent_prints **prints)
{
	extent_prints_free(*prints);
}

/* Reads what is to be read, keeps what was known of the other pages that are there. */
static int extent_renew(
	const struct scan *scan, const struct page_set *own, const struct page_set *shared)
{
	const struct page_set there = page_set_either(&scan->view.own, &scan->view.shared);
	const struct page_set anew = page_set_either(own, shared);
	const struct page_set kept = page_set_without(&there, &anew);
	_cleanup_(cleanup_prints) struct extent_prints *prints = NULL;
	int r = 1;

	if (page_set_next(&there, 0) < EXTENT_PAGES) {
		prints = extent_prints_new();
		if (!prints)
			return -ENOMEM;
		for (unsigned page = page_set_next(&kept, 0); page < EXTENT_PAGES;
			page = page_set_next(&kept, page + 1))
			extent_prints_copy(prints, scan->extent->prints, page);
		r = whole_read(scan, own, prints);
		if (r >= 0)
			r = pages_read(scan, shared, true, page_take, prints);
		if (r >= 0 && scan->source->skip_fork_shared &&
			page_set_next(shared, 0) < EXTENT_PAGES)
			r = fork_shared_drop(scan, prints);
	}
	if (r < 0)
		return r;
	extent_take_visit(scan->extent, steal_pointer(&prints));
	return 0;
}

/* Which node each page is on: of a huge page one tells it of all. A page that moves meanwhile looks
 * changed at the next visit. */
static int nodes_take(struct scan *scan)
{
	const unsigned first = extent_first_page(scan->extent), pages = extent_pages(scan->extent);
	const unsigned asked = scan->view.huge ? 1 : pages;
	uint64_t addresses[EXTENT_PAGES] = { 0 };
	int error;

	for (unsigned i = 0; i < asked; i++)
		addresses[i] = page_address(scan, first + i);
	error = numa_page_nodes(
		scan->source->process->id.pid, addresses, asked, &scan->apart[first]);
	for (unsigned i = asked; !error && i < pages; i++)
		scan->apart[first + i] = scan->apart[first];
	return error;
}

static int scan_begin(struct scanner *scanner, const struct scan_source *source,
	struct extent *extent, struct scan *ret)
{
	int error;

	*ret = (struct scan){ .scanner = scanner, .source = source, .extent = extent };
	error = extent_view_take(
		source->pagemap, extent, source->trust, scanner->runs, &ret->view);
	return error || !source->nodes_apart ? error : nodes_take(ret);
}

static int scan_whole(const struct scan *scan)
{
	return extent_renew(scan, &scan->view.own, &scan->view.shared);
}

int scan_extent(struct scanner *scanner, const struct scan_source *source, struct extent *extent)
{
	struct scan scan;
	int error = scan_begin(scanner, source, extent, &scan);

	if (!error)
		error = scan_whole(&scan);
	if (error)
		return error;
	extent->huge = scan.view.huge;
	extent_count_visit(extent);
	return 0;
}

/* ---- samples ---- */

/* Adds to the pages to be read all that are there, where a sample of those that were read before
 * differs. */
static int sample_add(const struct scan *scan, const struct page_set *there,
	const struct page_set *known, bool shared, struct page_set *anew)
{
	const struct page_set candidates = page_set_both(there, known);
	const struct page_set sample = page_set_sample(&candidates,
		shared ? SCAN_SAMPLE_SHARED_PAGES : SCAN_SAMPLE_PAGES, &scan->scanner->random);
	const int same = pages_read(scan, &sample, shared, page_compare, scan->extent->prints);

	if (same < 0)
		return same;
	*anew = same ? page_set_without(there, known) : *there;
	return 0;
}

static bool is_empty(const struct page_set *set)
{
	return page_set_next(set, 0) == EXTENT_PAGES;
}

static int scan_sampled(const struct scan *scan)
{
	struct extent *extent = scan->extent;
	const struct page_set known = page_set_read(extent->prints);
	const struct page_set there = page_set_either(&scan->view.own, &scan->view.shared);
	const struct page_set gone = page_set_without(&known, &there);
	struct page_set own, shared;
	int error;

	error = sample_add(scan, &scan->view.own, &known, false, &own);
	if (!error)
		error = sample_add(scan, &scan->view.shared, &known, true, &shared);
	if (error)
		return error;
	if (!is_empty(&own) || !is_empty(&shared) || !is_empty(&gone))
		return extent_renew(scan, &own, &shared);
	extent->changed = 0;
	return 0;
}

/* Of what a process shares by fork it has no fingerprints: that would look as if it had just come.
 */
static bool can_be_sampled(const struct scan *scan)
{
	return scan->extent->prints &&
	       !(scan->source->skip_fork_shared && !is_empty(&scan->view.shared));
}

int scan_extent_again(
	struct scanner *scanner, const struct scan_source *source, struct extent *extent)
{
	struct scan scan;
	int error = scan_begin(scanner, source, extent, &scan);

	if (!error)
		error = can_be_sampled(&scan) ? scan_sampled(&scan) : scan_whole(&scan);
	if (error)
		return error;
	extent->huge = scan.view.huge;
	extent_count_visit(extent);
	return 0;
}

/* ---- glimpses ---- */

#define GLIMPSE_RUN_PAGES 8
/* A place in each eighth of an extent, at another distance from its beginning each time: what recurs
 * in a guest's memory does so at powers of two. */
static const uint16_t glimpse_places[SCAN_GLIMPSE_PAGES / GLIMPSE_RUN_PAGES] = {
	24, 64, 168, 208, 296, 328, 432, 456,
};

int scan_glimpse(struct scanner *scanner, const struct scan_source *source, struct extent *extent,
	struct scan_glimpse *ret)
{
	struct extent_prints prints = { 0 };
	struct page_set places = { 0 };
	struct scan scan;
	int r;

	r = scan_begin(scanner, source, extent, &scan);
	if (r < 0)
		return r;
	if (page_set_count(&scan.view.own) < EXTENT_PAGES / 2)
		return 0;
	for (size_t i = 0; i < SCAN_GLIMPSE_PAGES / GLIMPSE_RUN_PAGES; i++)
		page_set_add_run(&places, glimpse_places[i], GLIMPSE_RUN_PAGES);
	places = page_set_both(&places, &scan.view.own);
	r = pages_read(&scan, &places, false, page_take, &prints);
	if (r < 0)
		return r;
	ret->count = ret->zeros = 0;
	for (unsigned page = page_set_next(&places, 0); page < EXTENT_PAGES;
		page = page_set_next(&places, page + 1)) {
		const enum page_state state = extent_prints_state(&prints, page);

		if (state == PAGE_ZERO)
			ret->zeros++;
		else if (state == PAGE_SINGLE)
			ret->prints[ret->count++] = extent_prints_get(&prints, page);
	}
	return 1;
}
