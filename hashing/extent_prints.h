/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fingerprints of one extent: 2 MiB of guest RAM, 512 pages in their own order. Six bytes of
 * fingerprint and two bits of state a page, 3,200 bytes in all: 6.25 bytes per page.
 */
#ifndef PAGEFOLD_HASHING_EXTENT_PRINTS_H
#define PAGEFOLD_HASHING_EXTENT_PRINTS_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define EXTENT_PAGES 512u

enum page_state {
	PAGE_ABSENT = 0, /* not read: a hole, swapped out, or already mapped to the zero page */
	PAGE_ZERO = 1,   /* read, all bytes zero */
	PAGE_SINGLE = 2, /* read, no twin known */
	PAGE_TWIN = 3,   /* read, and the last count found the same content elsewhere */
};

struct extent_prints {
	uint8_t state[EXTENT_PAGES / 4];
	uint8_t print[EXTENT_PAGES][6];
};

/* All pages PAGE_ABSENT; NULL: no memory. Thread-safe, both. Not from malloc(): see prints_pool.c. */
struct extent_prints *extent_prints_new(void);
struct extent_prints *extent_prints_free(struct extent_prints *prints); /* NULL is fine; returns NULL */

static inline enum page_state extent_prints_state(const struct extent_prints *prints, unsigned page)
{
	return (enum page_state)(prints->state[page / 4] >> (page % 4 * 2) & 3);
}

static inline void extent_prints_set_state(
	struct extent_prints *prints, unsigned page, enum page_state state)
{
	const unsigned shift = page % 4 * 2;
	const unsigned kept = prints->state[page / 4] & ~(3u << shift);

	prints->state[page / 4] = (uint8_t)(kept | (unsigned)state << shift);
}

uint64_t extent_prints_get(const struct extent_prints *prints, unsigned page);
void extent_prints_set(struct extent_prints *prints, unsigned page, uint64_t fingerprint);

/*
 * Fingerprints `page` of the extent from its bytes; its state becomes PAGE_ZERO or PAGE_SINGLE. apart:
 * pages for which it differs are no twins, whatever they hold (but zeros are zeros everywhere); 0 where
 * all of them may be.
 */
void extent_prints_read(
	struct extent_prints *prints, unsigned page, const void *bytes, unsigned apart);

/* Whether `page`, which was read before, holds in these bytes what it held then, as much apart. */
bool extent_prints_holds(
	const struct extent_prints *prints, unsigned page, const void *bytes, unsigned apart);

/* Takes over what `from` says of a page, its twin included. */
static inline void extent_prints_copy(
	struct extent_prints *prints, const struct extent_prints *from, unsigned page)
{
	memcpy(prints->print[page], from->print[page], sizeof(prints->print[page]));
	extent_prints_set_state(prints, page, extent_prints_state(from, page));
}

/* Pages of `now` that hold what they held in `then` take over its state: what was known of their twins. */
void extent_prints_keep_twins(struct extent_prints *now, const struct extent_prints *then);

/* How many pages do not hold in `now` what they held in `then`: another content, another presence.
 * PAGE_SINGLE and PAGE_TWIN are the same presence. */
unsigned extent_prints_changed(const struct extent_prints *then, const struct extent_prints *now);

struct extent_tally {
	uint16_t pages; /* read: zero, single and twin */
	uint16_t zeros, twins;
};

struct extent_tally extent_prints_tally(const struct extent_prints *prints);

/* Every PAGE_TWIN becomes PAGE_SINGLE. */
void extent_prints_forget_twins(struct extent_prints *prints);

/* The states of pages 32 * word .. 32 * word + 31: page i of them in bits 2i and 2i + 1. */
static inline uint64_t extent_prints_state_word(const struct extent_prints *prints, unsigned word)
{
	uint64_t states;

	memcpy(&states, prints->state + sizeof(states) * word, sizeof(states));
	return le64toh(states);
}

#define EXTENT_STATE_WORDS     (EXTENT_PAGES / 32)
#define EXTENT_STATE_HIGH_BITS UINT64_C(0xaaaaaaaaaaaaaaaa) /* set in PAGE_SINGLE and PAGE_TWIN */

#endif
