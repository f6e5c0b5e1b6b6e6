/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much of an extent is read at a time. Pure.
 *
 * What is read in small pieces is hashed out of the second-level cache; but a piece is copied to
 * where the one before it was, and some processors copy a third slower to what is in that cache. On
 * one (AMD EPYC 9004) whole extents of 4 KiB pages take 530 ns a page and pieces of 256 KiB 620, of
 * huge pages 330 and 480; on another the pieces took an eighth less. So the first extents are read
 * one way and the other by turns, and the faster one stays.
 */
#ifndef PAGEFOLD_DAEMON_READ_SIZE_H
#define PAGEFOLD_DAEMON_READ_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#include "hashing/extent_prints.h"

#define READ_SIZE_PIECE_PAGES 64u
#define READ_SIZE_MOST_PAGES  EXTENT_PAGES

/* So many pairs, an extent one way and the next one the other. Which way wins more of them counts,
 * and not by how much: now and then one takes several times as long, or a third of it, because the
 * hypervisor was at work. */
#define READ_SIZE_PAIRS 16u

/* Of one thread. All zero: nothing was read yet. */
struct read_size {
	uint64_t piece_ns; /* the first one of a pair */
	unsigned trials, whole_won;
};

/* At a time, of the next extent. */
unsigned read_size_pages(const struct read_size *size);
/* What the next one takes is to be noted. */
bool read_size_is_on_trial(const struct read_size *size);
/* All pages of an extent took so long, read as read_size_pages() said. */
void read_size_note(struct read_size *size, uint64_t ns);

#endif
