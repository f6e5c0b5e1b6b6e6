/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sorts 64-bit records that arrive half ordered, as the twin index copies them out. */
#ifndef PAGEFOLD_HASHING_RECORD_SORT_H
#define PAGEFOLD_HASHING_RECORD_SORT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Sorts `count` records by value. All of them must be equal in the bits from `top` up, and where
 * they are equal in the bits from `low` up they must stand in order already. spare holds `count`
 * records of scratch. Linear in count for any content: a radix sort, most significant digit first.
 */
void record_sort(uint64_t *records, uint64_t *spare, size_t count, unsigned top, unsigned low);

#endif
