// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/twin_count.h"

#include <string.h>

#define PAGE_BYTES UINT64_C(4096)

/* `copies` of one content in `owner`; `owners` hold it, `first` is the first of them. */
static void account_content(const struct twin_count *count, struct twin_owner *owner, uint64_t copies,
	uint64_t owners, bool first)
{
	const uint64_t cross_bytes = (owners - 1) * PAGE_BYTES;

	owner->ret_sums.duplicate_pages += copies;
	owner->ret_sums.distinct_contents++;
	owner->ret_sums.self_bytes += (copies - 1) * PAGE_BYTES;
	owner->ret_sums.cross_bytes += cross_bytes / owners;
	if (first)
		owner->ret_sums.cross_bytes += cross_bytes % owners;
	if (count->pairs)
		twin_pairs_hold(count->pairs, (size_t)(owner - count->owners), copies);
}

/* All its owners have been told. */
static void account_end(struct twin_count *count)
{
	count->distinct_contents++;
	if (count->pairs)
		twin_pairs_end_content(count->pairs);
}

static uint64_t record_location(const struct twin_count *count, uint64_t record)
{
	return record & ((UINT64_C(1) << count->location_bits) - 1);
}

static struct twin_owner *record_owner(const struct twin_count *count, uint64_t record)
{
	return count->extents[record_location(count, record) / EXTENT_PAGES].owner;
}

static void record_set_state(const struct twin_count *count, uint64_t record, enum page_state state)
{
	const uint64_t location = record_location(count, record);

	if (count->pairs)
		return;
	extent_prints_set_state(count->extents[location / EXTENT_PAGES].prints,
		(unsigned)(location % EXTENT_PAGES), state);
}

/* One content in two or more pages, in the order of their owners. */
static void read_group(struct twin_count *count, const uint64_t *records, size_t group)
{
	const struct twin_owner *first = record_owner(count, records[0]), *last = first;
	uint64_t owners = 1;

	for (size_t i = 0; i < group; i++) {
		const struct twin_owner *owner = record_owner(count, records[i]);

		owners += owner != last;
		last = owner;
		if (!count->known_twins_only)
			record_set_state(count, records[i], PAGE_TWIN);
	}
	for (size_t start = 0, end; start < group; start = end) {
		struct twin_owner *owner = record_owner(count, records[start]);

		for (end = start + 1; end < group; end++)
			if (record_owner(count, records[end]) != owner)
				break;
		account_content(count, owner, end - start, owners, owner == first);
	}
	account_end(count);
}

void twin_group_read(struct twin_count *count, const uint64_t *records, size_t total)
{
	for (size_t start = 0, end; start < total; start = end) {
		const uint64_t content = records[start] >> count->location_bits;

		for (end = start + 1; end < total; end++)
			if (records[end] >> count->location_bits != content)
				break;
		if (end - start > 1)
			read_group(count, records + start, end - start);
		else if (count->known_twins_only)
			record_set_state(count, records[start], PAGE_SINGLE);
	}
}

void twin_group_content(struct twin_count *count, const struct twin_slice *slice)
{
	uint64_t picks[EXTENT_PAGES];
	uint64_t owners = 0;
	bool first = true;

	memset(count->copies, 0, count->owner_count * sizeof(*count->copies));
	for (size_t i = 0; i < count->extent_count; i++) {
		const struct counted_extent *extent = &count->extents[i];
		const size_t picked = twin_slice_pick(count, extent->prints, slice, picks);

		count->copies[extent->owner - count->owners] += picked;
		for (size_t j = 0; j < picked && !count->pairs; j++)
			extent_prints_set_state(
				extent->prints, (unsigned)(picks[j] & ~MIXED_MASK), PAGE_TWIN);
	}

	for (size_t i = 0; i < count->owner_count; i++)
		owners += count->copies[i] > 0;
	for (size_t i = 0; i < count->owner_count; i++) {
		if (!count->copies[i])
			continue;
		account_content(count, &count->owners[i], count->copies[i], owners, first);
		first = false;
	}
	account_end(count);
}
