// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/twin_count.h"

#include <endian.h>
#include <string.h>

/* Written always and kept where it is in: no branch to guess wrong. */
static inline size_t page_pick(const uint8_t *base, unsigned page, uint64_t multiplier, uint64_t low,
	uint64_t span, uint64_t *pick)
{
	uint64_t mixed;

	memcpy(&mixed, base + page * sizeof(((struct extent_prints *)0)->print[0]), sizeof(mixed));
	mixed = (le64toh(mixed) & MIXED_MASK) * multiplier;
	*pick = mixed | page;
	return mixed - low <= span;
}

size_t twin_slice_pick(const struct twin_count *count, const struct extent_prints *prints,
	const struct twin_slice *slice, uint64_t ret_picks[static EXTENT_PAGES])
{
	/* Eight bytes, the fingerprint being the last six: page 0 stands behind the states. */
	const uint8_t *base =
		(const uint8_t *)prints + offsetof(struct extent_prints, print) - MIXED_SHIFT / 8;
	const uint64_t multiplier = count->multiplier;
	const uint64_t low = slice->base << slice->shift;
	/* The slice of everything is 2^64 wide. */
	const uint64_t span = (slice->width << slice->shift) - 1;
	size_t picked = 0;

	for (unsigned word = 0; word < EXTENT_STATE_WORDS; word++) {
		const uint64_t states = extent_prints_state_word(prints, word);
		uint64_t todo = (count->known_twins_only ? states & states << 1 : states) &
				EXTENT_STATE_HIGH_BITS;

		if (todo == EXTENT_STATE_HIGH_BITS) {
			for (unsigned page = word * 32; page < word * 32 + 32; page++)
				picked += page_pick(
					base, page, multiplier, low, span, &ret_picks[picked]);
			continue;
		}
		for (; todo; todo &= todo - 1) {
			const unsigned page = word * 32 + (unsigned)__builtin_ctzll(todo) / 2;

			picked += page_pick(base, page, multiplier, low, span, &ret_picks[picked]);
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
