// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/page_set.h"

#include <string.h>

void page_set_add_run(struct page_set *set, unsigned first, unsigned count)
{
	if (count == EXTENT_PAGES) { /* a huge page */
		memset(set, 0xff, sizeof(*set));
		return;
	}
	for (unsigned page = first; page < first + count; page++)
		page_set_add(set, page);
}

unsigned page_set_count(const struct page_set *set)
{
	unsigned count = 0;

	for (unsigned word = 0; word < PAGE_SET_WORDS; word++)
		count += (unsigned)__builtin_popcountll(set->words[word]);
	return count;
}

unsigned page_set_next(const struct page_set *set, unsigned page)
{
	while (page < EXTENT_PAGES) {
		const uint64_t rest = set->words[page / 64] >> (page % 64);

		if (rest)
			return page + (unsigned)__builtin_ctzll(rest);
		page = (page / 64 + 1) * 64;
	}
	return EXTENT_PAGES;
}

struct page_set page_set_both(const struct page_set *one, const struct page_set *other)
{
	struct page_set both;

	for (unsigned word = 0; word < PAGE_SET_WORDS; word++)
		both.words[word] = one->words[word] & other->words[word];
	return both;
}

struct page_set page_set_either(const struct page_set *one, const struct page_set *other)
{
	struct page_set either;

	for (unsigned word = 0; word < PAGE_SET_WORDS; word++)
		either.words[word] = one->words[word] | other->words[word];
	return either;
}

struct page_set page_set_without(const struct page_set *set, const struct page_set *others)
{
	struct page_set rest;

	for (unsigned word = 0; word < PAGE_SET_WORDS; word++)
		rest.words[word] = set->words[word] & ~others->words[word];
	return rest;
}

struct page_set page_set_read(const struct extent_prints *prints)
{
	struct page_set set = { 0 };

	for (unsigned page = 0; page < EXTENT_PAGES; page++)
		if (extent_prints_state(prints, page) != PAGE_ABSENT)
			page_set_add(&set, page);
	return set;
}

/* SplitMix64: every state but a few leads through all 2^64 of them. */
static uint64_t random_next(uint64_t *random)
{
	uint64_t mixed = (*random += UINT64_C(0x9e3779b97f4a7c15));

	mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
	return mixed ^ (mixed >> 31);
}

/* Selection sampling: each page is taken with the chance (still wanted) / (still to come), which
 * leaves every choice of that many pages equally likely, and gives them in ascending order. */
struct page_set page_set_sample(const struct page_set *set, unsigned count, uint64_t *random)
{
	unsigned left = page_set_count(set);
	struct page_set sample = { 0 };

	if (left <= count)
		return *set;
	for (unsigned page = page_set_next(set, 0); count; page = page_set_next(set, page + 1)) {
		/* 32 bits times at most 512 do not overflow, and are unfair by 2^-23 at the most.
		 */
		if ((random_next(random) >> 32) * left >> 32 < count) {
			page_set_add(&sample, page);
			count--;
		}
		left--;
	}
	return sample;
}
