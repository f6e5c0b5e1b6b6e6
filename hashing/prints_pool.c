// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where fingerprints are kept: chunks of 256 KiB, each 81 extents' worth. An allocator's size classes
 * would round 3,200 bytes up to 3,584, which is a byte a page on top of 6.25; chunks waste 1.1 %.
 *
 * A chunk stands at a multiple of its size, so that an address tells its chunk. Those with a free
 * slot are in a list; one that becomes empty is given back, unless it is the only one with room:
 * rescans take a slot and give back another all the time.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hashing/extent_prints.h"

#define CHUNK_BYTES (UINT64_C(256) << 10)
#define SLOTS       81u

struct chunk {
	struct chunk *next, *previous;
	unsigned used;
	bool taken[SLOTS];
	struct extent_prints slots[SLOTS];
};

_Static_assert(sizeof(struct chunk) <= CHUNK_BYTES, "81 extents and what is known of them");

static struct chunk *with_room; /* the first of them */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void chunk_link(struct chunk *chunk)
{
	chunk->previous = NULL;
	chunk->next = with_room;
	if (with_room)
		with_room->previous = chunk;
	with_room = chunk;
}

static void chunk_unlink(struct chunk *chunk)
{
	if (chunk->next)
		chunk->next->previous = chunk->previous;
	if (chunk->previous)
		chunk->previous->next = chunk->next;
	else
		with_room = chunk->next;
}

static struct chunk *chunk_new(void)
{
	struct chunk *chunk = aligned_alloc(CHUNK_BYTES, CHUNK_BYTES);

	if (!chunk)
		return NULL;
	chunk->used = 0;
	memset(chunk->taken, 0, sizeof(chunk->taken));
	chunk_link(chunk);
	return chunk;
}

static struct extent_prints *slot_take(void)
{
	struct chunk *chunk = with_room ? with_room : chunk_new();
	unsigned slot = 0;

	if (!chunk)
		return NULL;
	while (chunk->taken[slot])
		slot++;
	chunk->taken[slot] = true;
	if (++chunk->used == SLOTS)
		chunk_unlink(chunk);
	return &chunk->slots[slot];
}

static void slot_give_back(struct extent_prints *prints)
{
	struct chunk *chunk = (struct chunk *)((uintptr_t)prints & ~(CHUNK_BYTES - 1));

	chunk->taken[prints - chunk->slots] = false;
	if (chunk->used-- == SLOTS)
		chunk_link(chunk);
	if (!chunk->used && (chunk->next || chunk->previous)) {
		chunk_unlink(chunk);
		free(chunk);
	}
}

struct extent_prints *extent_prints_new(void)
{
	struct extent_prints *prints;

	(void)pthread_mutex_lock(&lock);
	prints = slot_take();
	(void)pthread_mutex_unlock(&lock);
	return prints ? memset(prints, 0, sizeof(*prints)) : NULL;
}

struct extent_prints *extent_prints_free(struct extent_prints *prints)
{
	if (prints) {
		(void)pthread_mutex_lock(&lock);
		slot_give_back(prints);
		(void)pthread_mutex_unlock(&lock);
	}
	return NULL;
}
