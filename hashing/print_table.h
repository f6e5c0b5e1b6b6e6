/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which fingerprints of a small set occur more than once: among themselves, or in a large set that
 * is only passed by. 8 bytes a slot, at most two thirds of them taken. Exact, but for those whose
 * slots somebody crowded on purpose: they are said to repeat.
 */
#ifndef PAGEFOLD_HASHING_PRINT_TABLE_H
#define PAGEFOLD_HASHING_PRINT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hashing/extent_prints.h"

struct print_table {
	uint64_t *slots;
	unsigned shift; /* from 64 bits to an index */
};

/* With room for so many fingerprints; ends with print_table_done(). 0 or -ENOMEM. */
int print_table_init(struct print_table *table, size_t capacity);
void print_table_done(struct print_table *table);

/* A fingerprint of the small set, as often as it occurs. */
void print_table_add(struct print_table *table, uint64_t fingerprint);
/* All of a page's content in the large set: those of the small set among them occur again. */
void print_table_pass(struct print_table *table, const struct extent_prints *prints);
/* Of one that was added. */
bool print_table_repeats(const struct print_table *table, uint64_t fingerprint);

#endif
