/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which of a QEMU's memory backends is which range of its address space. QEMU does not say; the size does.
 * Backends of one size are one unit: which of them is where does not matter to who advises all of them.
 */
#ifndef PAGEFOLD_GLUE_QMP_MEMDEV_H
#define PAGEFOLD_GLUE_QMP_MEMDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hypervisor-glue/guest_ram.h"

/* More than any machine has slots for; the rest is out of reach. */
#define MEMDEVS_MOST 256

/* "/objects/" and the longest id we take. */
#define MEMDEV_PATH_BYTES 128

struct memdev {
	char path[MEMDEV_PATH_BYTES];
	uint64_t size;
};

struct memdevs {
	struct memdev list[MEMDEVS_MOST];
	size_t count;
};

/* The private backends in a reply to query-memdev. 0, or as qmp_reply_parse(). */
int memdevs_parse(const char *reply, size_t length, struct memdevs *ret, char reason[256]);

/* The ranges that are the backends of this size: as many as there are such backends, in memory the caller
 * frees. -ENXIO: their number differs, so that it cannot be told. */
int memdevs_locate(const struct memdevs *memdevs, uint64_t size, const struct smaps_list *smaps,
	struct ram_range **ret_ranges, size_t *ret_count);

#endif
