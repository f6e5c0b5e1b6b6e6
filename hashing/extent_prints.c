// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/extent_prints.h"

#include <endian.h>
#include <string.h>

#include "hashing/page_fingerprint.h"

_Static_assert(sizeof(struct extent_prints) == 3200, "no padding: 6.25 bytes per page");

/* Least significant byte first on every machine. */
uint64_t extent_prints_get(const struct extent_prints *prints, unsigned page)
{
	uint64_t fingerprint = 0;

	memcpy(&fingerprint, prints->print[page], sizeof(prints->print[page]));
	return le64toh(fingerprint);
}

void extent_prints_set(struct extent_prints *prints, unsigned page, uint64_t fingerprint)
{
	const uint64_t little = htole64(fingerprint);

	memcpy(prints->print[page], &little, sizeof(prints->print[page]));
}

/* One to one for each number: so no two of them give the same content the same fingerprint. */
static uint64_t fingerprint_apart(const void *bytes, unsigned apart)
{
	const uint64_t everything = (UINT64_C(1) << FINGERPRINT_BITS) - 1;

	return page_fingerprint(bytes) ^ (apart * UINT64_C(0x9E3779B97F4B) & everything);
}

void extent_prints_read(
	struct extent_prints *prints, unsigned page, const void *bytes, unsigned apart)
{
	const bool zero = page_is_zero(bytes);

	extent_prints_set(prints, page, zero ? 0 : fingerprint_apart(bytes, apart));
	extent_prints_set_state(prints, page, zero ? PAGE_ZERO : PAGE_SINGLE);
}

bool extent_prints_holds(
	const struct extent_prints *prints, unsigned page, const void *bytes, unsigned apart)
{
	if (extent_prints_state(prints, page) == PAGE_ZERO)
		return page_is_zero(bytes);
	return extent_prints_get(prints, page) == fingerprint_apart(bytes, apart);
}

static bool page_changed(
	const struct extent_prints *then, const struct extent_prints *now, unsigned page)
{
	const enum page_state before = extent_prints_state(then, page);
	const enum page_state after = extent_prints_state(now, page);

	if (before < PAGE_SINGLE || after < PAGE_SINGLE)
		return before != after;
	return memcmp(then->print[page], now->print[page], sizeof(now->print[page])) != 0;
}

unsigned extent_prints_changed(const struct extent_prints *then, const struct extent_prints *now)
{
	unsigned changed = 0;

	for (unsigned page = 0; page < EXTENT_PAGES; page++)
		changed += page_changed(then, now, page);
	return changed;
}

void extent_prints_keep_twins(struct extent_prints *now, const struct extent_prints *then)
{
	for (unsigned page = 0; page < EXTENT_PAGES; page++)
		if (!page_changed(then, now, page))
			extent_prints_set_state(now, page, extent_prints_state(then, page));
}

struct extent_tally extent_prints_tally(const struct extent_prints *prints)
{
	struct extent_tally tally = { 0 };

	for (unsigned word = 0; word < EXTENT_STATE_WORDS; word++) {
		const uint64_t states = extent_prints_state_word(prints, word);
		const uint64_t high = (states & EXTENT_STATE_HIGH_BITS) >> 1;
		const uint64_t low = states & EXTENT_STATE_HIGH_BITS >> 1;

		tally.pages += (uint16_t)__builtin_popcountll(high | low);
		tally.zeros += (uint16_t)__builtin_popcountll(low & ~high);
		tally.twins += (uint16_t)__builtin_popcountll(low & high);
	}
	return tally;
}

void extent_prints_forget_twins(struct extent_prints *prints)
{
	for (unsigned word = 0; word < EXTENT_STATE_WORDS; word++) {
		const uint64_t states = extent_prints_state_word(prints, word);
		const uint64_t high = (states & EXTENT_STATE_HIGH_BITS) >> 1;
		const uint64_t forgotten = htole64(states & ~high);

		memcpy(prints->state + sizeof(forgotten) * word, &forgotten, sizeof(forgotten));
	}
}
