// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/read_size.h"

/* In the very first pair the buffer is touched for the first time. */
#define PAIRS_NOT_COUNTED 1u

bool read_size_is_on_trial(const struct read_size *size)
{
	return size->trials < 2 * (PAIRS_NOT_COUNTED + READ_SIZE_PAIRS);
}

unsigned read_size_pages(const struct read_size *size)
{
	const bool whole = read_size_is_on_trial(size) ? size->trials % 2
						       : size->whole_won > READ_SIZE_PAIRS / 2;

	return whole ? READ_SIZE_MOST_PAGES : READ_SIZE_PIECE_PAGES;
}

void read_size_note(struct read_size *size, uint64_t ns)
{
	if (size->trials % 2 == 0)
		size->piece_ns = ns;
	else if (size->trials / 2 >= PAIRS_NOT_COUNTED)
		size->whole_won += ns < size->piece_ns;
	size->trials++;
}
