// SPDX-License-Identifier: GPL-2.0-or-later
#include "hashing/record_sort.h"

#include <stdbool.h>
#include <string.h>

/* Up to here insertion is quicker than setting up the counters of a digit. */
#define INSERTION_RECORDS 24u
/* 2 KiB of counters: they leave room in the first-level cache for what they count. */
#define DIGIT_BITS_MAX 8u

static void insertion_sort(uint64_t *records, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		const uint64_t record = records[i];
		size_t at = i;

		for (; at > 0 && records[at - 1] > record; at--)
			records[at] = records[at - 1];
		records[at] = record;
	}
}

/* One content in very many pages comes here again and again, in order: one look is enough then. */
static bool is_sorted(const uint64_t *records, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (records[i - 1] > records[i])
			return false;
	return true;
}

/* As many bits as leave about four records to a value. */
static unsigned digit_bits(size_t count, unsigned available)
{
	const unsigned bits = 63u - (unsigned)__builtin_clzll(count) - 2u;
	const unsigned most = available < DIGIT_BITS_MAX ? available : DIGIT_BITS_MAX;

	return bits < most ? bits : most;
}

/* Orders by the digit that starts at bit `shift`; records of one digit keep their order.
 * Afterwards ends[digit] is where that digit's records end. */
static void scatter(uint64_t *records, uint64_t *spare, size_t count, unsigned shift, unsigned bits,
	size_t *ends)
{
	const uint64_t mask = (UINT64_C(1) << bits) - 1;
	size_t position = 0;

	memset(ends, 0, sizeof(*ends) << bits);
	for (size_t i = 0; i < count; i++)
		ends[records[i] >> shift & mask]++;
	for (size_t digit = 0; digit <= mask; digit++) {
		const size_t here = ends[digit];

		ends[digit] = position;
		position += here;
	}
	for (size_t i = 0; i < count; i++)
		spare[ends[records[i] >> shift & mask]++] = records[i];
	memcpy(records, spare, count * sizeof(*records));
}

void record_sort(uint64_t *records, uint64_t *spare, size_t count, unsigned top, unsigned low)
{
	size_t ends[1u << DIGIT_BITS_MAX];
	unsigned bits, shift;
	size_t start = 0;

	if (count <= INSERTION_RECORDS) {
		insertion_sort(records, count);
		return;
	}
	if (top <= low || is_sorted(records, count))
		return;

	bits = digit_bits(count, top - low);
	shift = top - bits;
	scatter(records, spare, count, shift, bits, ends);
	for (size_t digit = 0; digit < (size_t)1 << bits; digit++) {
		if (ends[digit] - start > 1)
			record_sort(records + start, spare, ends[digit] - start, shift, low);
		start = ends[digit];
	}
}
