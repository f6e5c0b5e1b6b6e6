// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/twin_count.h"

#include <endian.h>
#include <string.h>

size_t twin_slice_pick(const struct twin_count *count, const struct extent_prints *prints,
	const struct twin_slice *slice, uint64_t ret_picks[static EXTENT_PAGES])
{
	/* Eight bytes, the fingerprint being the last six: page 0 stands behind the states. */
	const uint8_t *base =
		(const uint8_t *)prints + offsetof(struct extent_prints, print) - MIXED_SHIFT / 8;
	size_t picked = 0;

	for (unsigned word = 0; word < EXTENT_STATE_WORDS; word++) {
		const uint64_t states = extent_prints_state_word(prints, word);
		uint64_t todo = (count->known_twins_only ? states & states << 1 : states) &
				EXTENT_STATE_HIGH_BITS;

		for (unsigned page = word * 32; todo; page++, todo >>= 2) {
			uint64_t mixed;

			memcpy(&mixed, base + page * sizeof(prints->print[0]), sizeof(mixed));
			mixed = (le64toh(mixed) & MIXED_MASK) * count->multiplier;
			/* Written always and kept where it is in: no branch to guess wrong. */
			ret_picks[picked] = mixed | page;
			picked += (todo >> 1 & 1) &
				  ((mixed >> slice->shift) - slice->base < slice->width);
		}
	}
	return picked;
}

void twin_slice_count(
	const struct twin_count *count, const struct twin_slice *slice, uint64_t *counters)
{
	uint64_t picks[EXTENT_PAGES];

	memset(counters, 0, slice->width * sizeof(*counters));
	for (size_t i = 0; i < count->extent_count; i++) {
		const size_t picked =
			twin_slice_pick(count, count->extents[i].prints, slice, picks);

		for (size_t j = 0; j < picked; j++)
			counters[(picks[j] >> slice->shift) - slice->base]++;
	}
}

uint64_t twin_slice_copy_out(
	const struct twin_count *count, const struct twin_slice *slice, uint64_t *counters)
{
	const unsigned unshift = MIXED_SHIFT + count->first_bits - count->location_bits;
	uint64_t picks[EXTENT_PAGES];
	uint64_t position = 0;

	for (uint64_t digit = 0; digit < slice->width; digit++) {
		const uint64_t here = counters[digit];

		if (here == DIGIT_OVERSIZE)
			continue;
		counters[digit] = position;
		position += here;
	}
	for (size_t i = 0; i < count->extent_count; i++) {
		const size_t picked =
			twin_slice_pick(count, count->extents[i].prints, slice, picks);

		for (size_t j = 0; j < picked; j++) {
			uint64_t *end = &counters[(picks[j] >> slice->shift) - slice->base];
			const uint64_t page = picks[j] & ~MIXED_MASK;
			const uint64_t rest = (picks[j] & MIXED_MASK) << count->first_bits;

			if (*end != DIGIT_OVERSIZE)
				count->records[(*end)++] =
					rest >> unshift | (i * EXTENT_PAGES + page);
		}
	}
	return position;
}
