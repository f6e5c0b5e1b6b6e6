/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Some of the 512 pages of an extent: one bit each. */
#ifndef PAGEFOLD_HASHING_PAGE_SET_H
#define PAGEFOLD_HASHING_PAGE_SET_H

#include <stdbool.h>
#include <stdint.h>

#include "hashing/extent_prints.h"

#define PAGE_SET_WORDS (EXTENT_PAGES / 64)

struct page_set {
	uint64_t words[PAGE_SET_WORDS];
};

static inline bool page_set_has(const struct page_set *set, unsigned page)
{
	return set->words[page / 64] >> (page % 64) & 1;
}

static inline void page_set_add(struct page_set *set, unsigned page)
{
	set->words[page / 64] |= UINT64_C(1) << (page % 64);
}

/* Pages first .. first + count - 1. */
void page_set_add_run(struct page_set *set, unsigned first, unsigned count);

unsigned page_set_count(const struct page_set *set);
/* The first page of the set from `page` on; EXTENT_PAGES: none. */
unsigned page_set_next(const struct page_set *set, unsigned page);

struct page_set page_set_both(const struct page_set *one, const struct page_set *other);
struct page_set page_set_either(const struct page_set *one, const struct page_set *other);
struct page_set page_set_without(const struct page_set *set, const struct page_set *others);

/* The pages whose state is not PAGE_ABSENT. */
struct page_set page_set_read(const struct extent_prints *prints);

/*
 * `count` pages of the set, or all of it where it has no more, each as likely as any other. *random
 * is the state of the generator (any number to begin with; who must not be able to foresee the
 * choice takes it from the kernel) and moves on.
 */
struct page_set page_set_sample(const struct page_set *set, unsigned count, uint64_t *random);

#endif
