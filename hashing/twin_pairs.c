// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/twin_pairs.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES UINT64_C(4096)

/* Guests choose what they hold, and so how many different sets there are. This much is held of
 * them. */
#define TABLE_SLOTS     4096u
#define SETS_MOST       (TABLE_SLOTS / 2) /* half full: a search ends after a step or two */
#define SETS_BYTES_MOST ((size_t)4 << 20)

/* The contents that exactly these owners hold. */
struct twin_set {
	uint64_t contents;
	uint64_t hash;
	size_t count;
	uint64_t *copies; /* of all those contents, per owner */
	uint32_t owners[];
};

int twin_pairs_init(struct twin_pairs *pairs, size_t owner_count)
{
	const size_t cells = owner_count ? owner_count * (owner_count - 1) / 2 : 0;

	if (owner_count > TWIN_PAIRS_OWNERS_MOST)
		return -E2BIG;
	*pairs = (struct twin_pairs){
		.owner_count = owner_count,
		.cells = calloc(cells + 1, sizeof(*pairs->cells)),
		.holders = calloc(owner_count + 1, sizeof(*pairs->holders)),
		.copies = calloc(owner_count + 1, sizeof(*pairs->copies)),
		.table = calloc(TABLE_SLOTS, sizeof(struct twin_set *)),
	};
	if (pairs->cells && pairs->holders && pairs->copies && pairs->table)
		return 0;
	twin_pairs_done(pairs);
	return -ENOMEM;
}

static void set_free(struct twin_set *set)
{
	if (!set)
		return;
	free(set->copies);
	free(set);
}

void twin_pairs_done(struct twin_pairs *pairs)
{
	for (size_t i = 0; pairs->table && i < TABLE_SLOTS; i++)
		set_free(pairs->table[i]);
	free(pairs->table);
	free(pairs->cells);
	free(pairs->holders);
	free(pairs->copies);
	*pairs = (struct twin_pairs){ 0 };
}

static size_t cell_of(size_t first, size_t second)
{
	return second * (second - 1) / 2 + first;
}

const struct twin_pair *twin_pairs_get(const struct twin_pairs *pairs, size_t first, size_t second)
{
	return &pairs->cells[cell_of(first, second)];
}

void twin_pairs_hold(struct twin_pairs *pairs, size_t owner, uint64_t copies)
{
	pairs->holders[pairs->holder_count] = (uint32_t)owner;
	pairs->copies[pairs->holder_count++] = copies;
}

/* ---- sets into pairs ---- */

/* What a holder owes to one of the others, for one content. is_first: it is the first holder;
 * to_first: the other is the first of its others. */
static uint64_t cross_share(size_t holders, bool is_first, bool to_first)
{
	const uint64_t cross_bytes = (holders - 1) * PAGE_BYTES;
	const uint64_t own = cross_bytes / holders + (is_first ? cross_bytes % holders : 0);

	return own / (holders - 1) + (to_first ? own % (holders - 1) : 0);
}

static void deal_out(struct twin_pairs *pairs, const uint32_t *owners, const uint64_t *copies,
	size_t count, uint64_t contents)
{
	/* [is_first][to_first], of all these contents */
	const uint64_t shares[2][2] = {
		{ contents * cross_share(count, false, false),
			contents * cross_share(count, false, true) },
		{ contents * cross_share(count, true, false),
			contents * cross_share(count, true, true) },
	};

	for (size_t j = 1; j < count; j++)
		for (size_t i = 0; i < j; i++) {
			struct twin_pair *pair = &pairs->cells[cell_of(owners[i], owners[j])];

			pair->contents += contents;
			pair->pages[0] += copies[i];
			pair->pages[1] += copies[j];
			/* The first of the others is 0; for 0 itself it is 1. */
			pair->cross_bytes[0] += shares[i == 0][i == 0 && j == 1];
			pair->cross_bytes[1] += shares[0][i == 0];
		}
}

static void table_empty(struct twin_pairs *pairs)
{
	for (size_t i = 0; i < TABLE_SLOTS; i++) {
		struct twin_set *set = pairs->table[i];

		if (!set)
			continue;
		deal_out(pairs, set->owners, set->copies, set->count, set->contents);
		set_free(set);
		pairs->table[i] = NULL;
	}
	pairs->set_count = 0;
	pairs->set_bytes = 0;
}

/* ---- contents into sets ---- */

/* FNV-1a over whole words: who makes sets collide wastes a search, nothing else. */
static uint64_t holders_hash(const struct twin_pairs *pairs)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < pairs->holder_count; i++)
		hash = (hash ^ pairs->holders[i]) * UINT64_C(0x100000001b3);
	return hash ^ hash >> 32;
}

static bool set_is(const struct twin_set *set, const struct twin_pairs *pairs, uint64_t hash)
{
	return set->hash == hash && set->count == pairs->holder_count &&
	       !memcmp(set->owners, pairs->holders, set->count * sizeof(*set->owners));
}

/* Where the set of the content at hand is, or has to go. */
static struct twin_set **table_slot(const struct twin_pairs *pairs, uint64_t hash)
{
	size_t slot = hash % TABLE_SLOTS;

	while (pairs->table[slot] && !set_is(pairs->table[slot], pairs, hash))
		slot = (slot + 1) % TABLE_SLOTS;
	return &pairs->table[slot];
}

static struct twin_set *set_new(const struct twin_pairs *pairs, uint64_t hash)
{
	const size_t count = pairs->holder_count;
	struct twin_set *set = malloc(sizeof(*set) + count * sizeof(*set->owners));

	if (!set)
		return NULL;
	*set = (struct twin_set){ .hash = hash, .count = count };
	memcpy(set->owners, pairs->holders, count * sizeof(*set->owners));
	set->copies = calloc(count, sizeof(*set->copies));
	if (set->copies)
		return set;
	free(set);
	return NULL;
}

/* NULL: no memory for it. */
static struct twin_set *set_find(struct twin_pairs *pairs)
{
	const size_t count = pairs->holder_count;
	const size_t bytes =
		sizeof(struct twin_set) + count * (sizeof(uint32_t) + sizeof(uint64_t));
	const uint64_t hash = holders_hash(pairs);
	struct twin_set **slot = table_slot(pairs, hash);

	if (*slot)
		return *slot;
	if (pairs->set_count == SETS_MOST || pairs->set_bytes + bytes > SETS_BYTES_MOST) {
		table_empty(pairs);
		slot = table_slot(pairs, hash);
	}
	*slot = set_new(pairs, hash);
	if (*slot) {
		pairs->set_count++;
		pairs->set_bytes += bytes;
	}
	return *slot;
}

void twin_pairs_end_content(struct twin_pairs *pairs)
{
	struct twin_set *set;

	if (pairs->holder_count > 1) {
		set = set_find(pairs);
		if (set) {
			set->contents++;
			for (size_t i = 0; i < set->count; i++)
				set->copies[i] += pairs->copies[i];
		} else {
			deal_out(pairs, pairs->holders, pairs->copies, pairs->holder_count, 1);
		}
	}
	pairs->holder_count = 0;
}

void twin_pairs_finish(struct twin_pairs *pairs)
{
	table_empty(pairs);
}
