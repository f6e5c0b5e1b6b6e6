// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/print_table.h"

#include <errno.h>
#include <stdlib.h>

/* Above the fingerprint's 48 bits. A slot of 0 is free. */
#define TAKEN   (UINT64_C(1) << 63)
#define REPEATS (UINT64_C(1) << 62)

#define LEAST_SHIFT 54 /* 1,024 slots */

/* At two thirds of the slots one in some millions is farther away. */
#define PROBES_MOST 64

int print_table_init(struct print_table *table, size_t capacity)
{
	unsigned shift = LEAST_SHIFT;

	while (shift > 16 && (UINT64_C(1) << (64 - shift)) * 2 / 3 < capacity)
		shift--;
	*table = (struct print_table){
		.slots = calloc(UINT64_C(1) << (64 - shift), sizeof(uint64_t)),
		.shift = shift,
	};
	return table->slots ? 0 : -ENOMEM;
}

void print_table_done(struct print_table *table)
{
	free(table->slots);
	*table = (struct print_table){ 0 };
}

/*
 * The slot that holds it, or a free one. NULL: neither is near. A guest may choose what its pages
 * hold so that slots crowd; who looks for such a fingerprint does not search for long.
 */
static uint64_t *slot_of(const struct print_table *table, uint64_t fingerprint)
{
	const uint64_t last = (UINT64_C(1) << (64 - table->shift)) - 1;
	uint64_t at = fingerprint * UINT64_C(0x9E3779B97F4A7C15) >> table->shift;

	for (unsigned probe = 0; probe < PROBES_MOST; probe++, at = (at + 1) & last)
		if (!table->slots[at] || (table->slots[at] & ~REPEATS) == (fingerprint | TAKEN))
			return &table->slots[at];
	return NULL;
}

void print_table_add(struct print_table *table, uint64_t fingerprint)
{
	uint64_t *slot = slot_of(table, fingerprint);

	if (slot)
		*slot = *slot ? *slot | REPEATS : fingerprint | TAKEN;
}

void print_table_pass(struct print_table *table, const struct extent_prints *prints)
{
	for (unsigned page = 0; page < EXTENT_PAGES; page++) {
		uint64_t *slot;

		if (extent_prints_state(prints, page) < PAGE_SINGLE)
			continue;
		slot = slot_of(table, extent_prints_get(prints, page));
		if (slot && *slot)
			*slot |= REPEATS;
	}
}

bool print_table_repeats(const struct print_table *table, uint64_t fingerprint)
{
	const uint64_t *slot = slot_of(table, fingerprint);

	return !slot || *slot & REPEATS;
}
