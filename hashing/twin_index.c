// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mixing. Guests choose what their pages hold, and so their fingerprints. Before anything is cut by
 * them, fingerprints are multiplied (modulo 2^48) by an odd number drawn for this count. That can
 * be undone, so equal stays equal and different stays different; and any two fingerprints, whoever
 * chose them, agree in the top n bits afterwards with a probability of at most 2 in 2^n
 * (multiply-shift hashing, Dietzfelbinger et al. 1997). The result does not depend on the number.
 *
 * Cutting. One pass counts the pages per value of the top bits (a "digit" of 12 bits). Neighbouring
 * digits that fit in the partition together are copied out in a further pass, straight to where
 * each digit belongs; its few records are then sorted in cache and read off. A digit that does not
 * fit by itself - one content in very many pages, and hardly anything else - is cut again by the
 * next 12 bits, down to all 48: what does not fit even then is one single content, and that is
 * counted without copying it out. So the partition stays within its bound, whatever the guests do.
 *
 * Records are eight bytes: those bits of the fingerprint that the first digit does not tell, above
 * the number of the page. (Where page numbers need more room, from 1 TiB of pages, the first digit
 * is widened.) Sorted as plain numbers they are groups of equal content, each in the order of
 * owners.
 */
#include "hashing/twin_index.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "hashing/record_sort.h"
#include "hashing/twin_count.h"

/* So that what is held for a count grows with the pages by a byte each, from where they are few. */
#define PARTITION_BYTES_LEAST (UINT64_C(512) << 10)

static void twin_count_done(struct twin_count *count)
{
	free(count->extents);
	free(count->counters[0]);
	free(count->copies);
	free(count->records);
}

static bool extent_counts(const struct twin_owner *owner, size_t extent)
{
	return owner->extents[extent] && (!owner->counted || owner->counted[extent]);
}

static int list_extents(struct twin_count *count)
{
	size_t total = 0, at = 0;

	for (size_t i = 0; i < count->owner_count; i++)
		for (size_t j = 0; j < count->owners[i].extent_count; j++)
			total += extent_counts(&count->owners[i], j);

	count->extents = calloc(total + 1, sizeof(*count->extents));
	if (!count->extents)
		return -ENOMEM;
	for (size_t i = 0; i < count->owner_count; i++)
		for (size_t j = 0; j < count->owners[i].extent_count; j++)
			if (extent_counts(&count->owners[i], j))
				count->extents[at++] = (struct counted_extent){
					.prints = count->owners[i].extents[j],
					.owner = &count->owners[i],
				};
	count->extent_count = total;
	return 0;
}

/* Page number and what is left of the fingerprint must fit in a record. */
static void lay_out_record(struct twin_count *count)
{
	const uint64_t locations = (uint64_t)count->extent_count * EXTENT_PAGES;

	count->location_bits = locations ? 64u - (unsigned)__builtin_clzll(locations - 1) : 0;
	count->first_bits = DIGIT_BITS;
	if (count->location_bits > DIGIT_BITS + MIXED_SHIFT)
		count->first_bits = count->location_bits - MIXED_SHIFT;
}

static int allocate_counters(struct twin_count *count)
{
	const size_t first = (size_t)1 << count->first_bits, further = (size_t)1 << DIGIT_BITS;

	count->copies = calloc(count->owner_count + 1, sizeof(*count->copies));
	count->counters[0] =
		calloc(first + (DIGIT_DEPTHS - 1) * further, sizeof(*count->counters[0]));
	if (!count->copies || !count->counters[0])
		return -ENOMEM;
	for (size_t depth = 1; depth < DIGIT_DEPTHS; depth++)
		count->counters[depth] = count->counters[0] + first + (depth - 1) * further;
	return 0;
}

static uint64_t draw_multiplier(void)
{
	uint64_t drawn;

	/* Where the kernel has none to give, the count is as exact, only easier to slow down. */
	if (getentropy(&drawn, sizeof(drawn)) < 0)
		drawn = UINT64_C(0x9e3779b97f4a7c15);
	return drawn | 1;
}

static void index_partition(
	struct twin_count *count, const struct twin_slice *slice, uint64_t *counters)
{
	const unsigned top = count->location_bits + slice->shift - MIXED_SHIFT;
	const uint64_t total = twin_slice_copy_out(count, slice, counters);
	uint64_t start = 0;

	for (uint64_t digit = 0; digit < slice->width; digit++) {
		if (counters[digit] == DIGIT_OVERSIZE)
			continue;
		record_sort(count->records + start, count->records + total, counters[digit] - start,
			top, count->location_bits);
		twin_group_read(count, count->records + start, counters[digit] - start);
		start = counters[digit];
	}
}

/* Sorting a digit takes as much scratch as the digit has records. Returns the largest that fits. */
static uint64_t mark_oversize(const struct twin_count *count, uint64_t *counters, uint64_t digits)
{
	uint64_t largest = 0;

	for (uint64_t digit = 0; digit < digits; digit++) {
		if (counters[digit] > count->capacity / 2)
			counters[digit] = DIGIT_OVERSIZE;
		else if (counters[digit] > largest)
			largest = counters[digit];
	}
	return largest;
}

/* Returns the end of as many digits from `start` on as fit together; how many records that is goes
 * to *ret_records. */
static uint64_t partition_end(const struct twin_count *count, const uint64_t *counters,
	uint64_t start, uint64_t digits, uint64_t *ret_records)
{
	uint64_t records = 0, largest = 0, end;

	for (end = start; end < digits; end++) {
		const uint64_t here = counters[end];

		if (here == DIGIT_OVERSIZE)
			continue;
		if (here > largest)
			largest = here;
		if (records + here + largest > count->capacity)
			break;
		records += here;
	}
	*ret_records = records;
	return end;
}

static void index_oversize(
	struct twin_count *count, const struct twin_slice *digit, unsigned depth);

/* The digits of the slice have been counted, and marked where they do not fit. Recursion ends at
 * the depth where no bits are left. */
static void index_slice(struct twin_count *count, const struct twin_slice *slice, unsigned depth)
{
	uint64_t *counters = count->counters[depth];
	struct twin_slice part;
	uint64_t records;

	for (uint64_t start = 0, end; start < slice->width; start = end) {
		end = partition_end(count, counters, start, slice->width, &records);
		part = (struct twin_slice){ slice->shift, slice->base + start, end - start };
		if (records)
			index_partition(count, &part, counters + start);
	}
	for (uint64_t digit = 0; digit < slice->width; digit++) {
		if (counters[digit] != DIGIT_OVERSIZE)
			continue;
		part = (struct twin_slice){ slice->shift, slice->base + digit, 1 };
		if (slice->shift == MIXED_SHIFT)
			twin_group_content(count, &part);
		else
			index_oversize(count, &part, depth + 1);
	}
}

/* Cuts one digit by the next. */
static void index_oversize(struct twin_count *count, const struct twin_slice *digit, unsigned depth)
{
	const unsigned left = digit->shift - MIXED_SHIFT;
	const unsigned bits = left < DIGIT_BITS ? left : DIGIT_BITS;
	const struct twin_slice finer = {
		.shift = digit->shift - bits,
		.base = digit->base << bits,
		.width = UINT64_C(1) << bits,
	};

	twin_slice_count(count, &finer, count->counters[depth]);
	(void)mark_oversize(count, count->counters[depth], finer.width);
	index_slice(count, &finer, depth);
}

/* Counts the first digit and allocates the partition, no larger than what there is to put in. */
static int prepare_partition(struct twin_count *count, const struct twin_slice *everything,
	const struct twin_index_options *options)
{
	uint64_t pages = 0, largest, bytes;

	twin_slice_count(count, everything, count->counters[0]);
	for (uint64_t digit = 0; digit < everything->width; digit++)
		pages += count->counters[0][digit];

	bytes = options->partition_bytes;
	if (!bytes)
		bytes = pages > PARTITION_BYTES_LEAST ? pages : PARTITION_BYTES_LEAST;
	count->capacity = bytes / sizeof(*count->records);
	if (count->capacity < 2) /* one record, and its scratch */
		count->capacity = 2;
	largest = mark_oversize(count, count->counters[0], everything->width);
	if (count->capacity > pages + largest)
		count->capacity = pages + largest;

	count->records = malloc((count->capacity + 1) * sizeof(*count->records));
	return count->records ? 0 : -ENOMEM;
}

static void owner_sum_up(struct twin_owner *owner)
{
	for (size_t i = 0; i < owner->extent_count; i++) {
		struct extent_tally tally = { 0 };

		if (extent_counts(owner, i))
			tally = extent_prints_tally(owner->extents[i]);
		owner->ret_sums.pages += tally.pages;
		owner->ret_sums.zero_pages += tally.zeros;
		if (owner->ret_extents)
			owner->ret_extents[i] =
				(struct twin_extent){ .twins = tally.twins, .zeros = tally.zeros };
	}
}

static void sums_add(struct twin_sums *total, const struct twin_sums *sums)
{
	total->pages += sums->pages;
	total->zero_pages += sums->zero_pages;
	total->duplicate_pages += sums->duplicate_pages;
	total->self_bytes += sums->self_bytes;
	total->cross_bytes += sums->cross_bytes;
}

int twin_index_count(struct twin_owner *owners, size_t owner_count,
	const struct twin_index_options *options, struct twin_sums *ret_total)
{
	_cleanup_(twin_count_done) struct twin_count count = {
		.owners = owners,
		.owner_count = owner_count,
		.known_twins_only = options->known_twins_only,
		.pairs = options->pairs,
		.multiplier = draw_multiplier(),
	};
	struct twin_slice everything;

	if (list_extents(&count) < 0)
		return -ENOMEM;
	lay_out_record(&count);
	if (allocate_counters(&count) < 0)
		return -ENOMEM;
	everything = (struct twin_slice){ .shift = 64 - count.first_bits,
		.width = UINT64_C(1) << count.first_bits };
	if (prepare_partition(&count, &everything, options) < 0)
		return -ENOMEM;

	/* Nothing can fail from here on. */
	if (!count.known_twins_only && !count.pairs)
		for (size_t i = 0; i < count.extent_count; i++)
			extent_prints_forget_twins(count.extents[i].prints);
	for (size_t i = 0; i < owner_count; i++)
		owners[i].ret_sums = (struct twin_sums){ 0 };
	index_slice(&count, &everything, 0);
	if (count.pairs)
		twin_pairs_finish(count.pairs);

	*ret_total = (struct twin_sums){ .distinct_contents = count.distinct_contents };
	for (size_t i = 0; i < owner_count; i++) {
		owner_sum_up(&owners[i]);
		sums_add(ret_total, &owners[i].ret_sums);
	}
	return 0;
}
