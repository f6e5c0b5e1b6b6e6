/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that knows what it must hold. Every page has one small record that its contents follow
 * from, so a single wrong byte is found, and so that pages can be zero, the same in every instance
 * (twins), or of one instance only, and move between the three while they are checked.
 *
 * The same code runs as a plain process, in a Linux guest, and in a guest that has nothing below it
 * (tests/functional/helpers/tiny_kvm.c): integers only, no library, no constants in memory, and all
 * of it inlined. The words are volatile so that no compiler turns a loop into a call of memset.
 */
#ifndef PAGEFOLD_LAB_PAGECHECK_H
#define PAGEFOLD_LAB_PAGECHECK_H

#include <stdbool.h>
#include <stdint.h>

/* A guest without an operating system adds the attributes its code needs. */
#ifndef PAGECHECK_ATTRIBUTES
#define PAGECHECK_ATTRIBUTES
#endif
#define PAGECHECK_INLINE static inline __attribute__((always_inline)) PAGECHECK_ATTRIBUTES

enum {
	PAGECHECK_PAGE_BYTES = 4096,
	PAGECHECK_WORDS = PAGECHECK_PAGE_BYTES / 8,
	/* Contents below this number are the same in every instance; 0 is the zero page. */
	PAGECHECK_COMMON_LIMIT = 1 << 16,
};

struct pagecheck_page {
	uint32_t content;  /* which contents */
	uint16_t patch_at; /* one byte of them was changed by itself: which, */
	uint16_t patch;    /* and by what (exclusive or); 0: none was */
};

struct pagecheck {
	uint64_t *memory;
	struct pagecheck_page *pages;
	uint64_t page_count;
	uint64_t hot_from;     /* pages from here on are rewritten all the time */
	uint64_t seed;         /* what makes private contents private */
	uint64_t random;       /* state of the generator that chooses what is rewritten */
	uint32_t next_content; /* private contents are numbered as they are made */
	uint32_t zero_percent, twin_percent;
	uint32_t twin_contents; /* how many different twins there are */
};

struct pagecheck_error {
	uint64_t page, word, expected, found;
};

/* splitmix64's finalizer over a counter: any word of any contents without the ones before it. */
PAGECHECK_INLINE uint64_t pagecheck_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

PAGECHECK_INLINE uint64_t pagecheck_random(struct pagecheck *check)
{
	check->random += 0x9e3779b97f4a7c15ULL;
	return pagecheck_mix(check->random);
}

/* The key of a page's contents; its words are mix(key + i). 0 stands for the zero page. */
PAGECHECK_INLINE uint64_t pagecheck_key(const struct pagecheck *check, uint32_t content)
{
	if (content == 0)
		return 0;
	if (content < PAGECHECK_COMMON_LIMIT)
		return pagecheck_mix(content) | 1;
	return pagecheck_mix(check->seed ^ ((uint64_t)content << 24)) | 1;
}

PAGECHECK_INLINE uint64_t pagecheck_word(
	uint64_t key, const struct pagecheck_page *page, uint64_t index)
{
	uint64_t word = key ? pagecheck_mix(key + index * 0x9e3779b97f4a7c15ULL) : 0;

	if (page->patch && page->patch_at / 8 == index)
		word ^= (uint64_t)page->patch << (page->patch_at % 8 * 8);
	return word;
}

PAGECHECK_INLINE volatile uint64_t *pagecheck_address(const struct pagecheck *check, uint64_t page)
{
	return check->memory + page * PAGECHECK_WORDS;
}

PAGECHECK_INLINE void pagecheck_fill(struct pagecheck *check, uint64_t page)
{
	volatile uint64_t *words = pagecheck_address(check, page);
	uint64_t key = pagecheck_key(check, check->pages[page].content);

	for (uint64_t i = 0; i < PAGECHECK_WORDS; i++)
		words[i] = pagecheck_word(key, &check->pages[page], i);
}

PAGECHECK_INLINE uint32_t pagecheck_draw_content(struct pagecheck *check)
{
	uint64_t random = pagecheck_random(check);
	uint64_t percent = random % 100;

	if (percent < check->zero_percent)
		return 0;
	if (percent < check->zero_percent + check->twin_percent)
		return 1 + (uint32_t)((random >> 32) % check->twin_contents);
	if (++check->next_content < PAGECHECK_COMMON_LIMIT)
		check->next_content = PAGECHECK_COMMON_LIMIT;
	return check->next_content;
}

/* Every page gets contents: call once. */
PAGECHECK_INLINE void pagecheck_fill_all(struct pagecheck *check)
{
	for (uint64_t page = 0; page < check->page_count; page++) {
		check->pages[page] =
			(struct pagecheck_page){ .content = pagecheck_draw_content(check) };
		pagecheck_fill(check, page);
	}
}

/* Three times of four new contents, else one byte changes and the other 4,095 must stay. */
PAGECHECK_INLINE void pagecheck_rewrite(struct pagecheck *check, uint64_t page)
{
	struct pagecheck_page *state = &check->pages[page];
	uint64_t random = pagecheck_random(check);

	if (random % 4) {
		*state = (struct pagecheck_page){ .content = pagecheck_draw_content(check) };
		pagecheck_fill(check, page);
		return;
	}
	volatile uint8_t *bytes = (volatile uint8_t *)pagecheck_address(check, page);
	/* The byte that stands out so far becomes an ordinary one again. */
	if (state->patch)
		bytes[state->patch_at] ^= (uint8_t)state->patch;
	state->patch_at = (uint16_t)((random >> 8) % PAGECHECK_PAGE_BYTES);
	state->patch = (uint16_t)(1 + (random >> 32) % 255);
	bytes[state->patch_at] ^= (uint8_t)state->patch;
}

PAGECHECK_INLINE void pagecheck_rewrite_some(
	struct pagecheck *check, uint64_t first, uint64_t end, uint64_t count)
{
	for (uint64_t i = 0; i < count && first < end; i++)
		pagecheck_rewrite(check, first + pagecheck_random(check) % (end - first));
}

/* Whether every byte of every page is what it must be. */
PAGECHECK_INLINE bool pagecheck_verify(
	const struct pagecheck *check, struct pagecheck_error *ret_error)
{
	for (uint64_t page = 0; page < check->page_count; page++) {
		volatile uint64_t *words = pagecheck_address(check, page);
		uint64_t key = pagecheck_key(check, check->pages[page].content);

		for (uint64_t i = 0; i < PAGECHECK_WORDS; i++) {
			uint64_t expected = pagecheck_word(key, &check->pages[page], i);
			uint64_t found = words[i];

			if (found == expected)
				continue;
			*ret_error = (struct pagecheck_error){
				.page = page, .word = i, .expected = expected, .found = found
			};
			return false;
		}
	}
	return true;
}

/* One round: all is checked, then some of it is written. */
PAGECHECK_INLINE bool pagecheck_round(struct pagecheck *check, uint64_t hot_writes,
	uint64_t stray_writes, struct pagecheck_error *ret_error)
{
	if (!pagecheck_verify(check, ret_error))
		return false;
	pagecheck_rewrite_some(check, check->hot_from, check->page_count, hot_writes);
	pagecheck_rewrite_some(check, 0, check->page_count, stray_writes);
	return true;
}

#endif
