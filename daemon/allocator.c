// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/allocator.h"

#include <stddef.h>

#include "common/cleanup.h"
#include "daemon/snapshot.h"

/* jemalloc's one function that is needed here. Weak: under a sanitizer there is no jemalloc. */
extern int mallctl(const char *name, void *old, size_t *old_length, void *new, size_t new_length)
	__attribute__((weak));

static int64_t statistic(const char *name)
{
	size_t value = 0, length = sizeof(value);

	if (mallctl(name, &value, &length, NULL, 0) != 0 || length != sizeof(value))
		return NOT_MEASURED;
	return (int64_t)value;
}

void allocator_read(struct allocator_stats *ret)
{
	static const struct {
		const char *name;
		size_t offset;
	} statistics[] = {
		{ "stats.allocated", offsetof(struct allocator_stats, allocated_bytes) },
		{ "stats.active", offsetof(struct allocator_stats, active_bytes) },
		{ "stats.metadata", offsetof(struct allocator_stats, metadata_bytes) },
		{ "stats.resident", offsetof(struct allocator_stats, resident_bytes) },
		{ "stats.mapped", offsetof(struct allocator_stats, mapped_bytes) },
		{ "stats.retained", offsetof(struct allocator_stats, retained_bytes) },
	};
	uint64_t epoch = 1;

	/* Statistics are of the moment at which the epoch was last moved on. */
	if (mallctl)
		(void)mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
	for (size_t i = 0; i < ARRAY_SIZE(statistics); i++) {
		int64_t *member = (int64_t *)(void *)((char *)ret + statistics[i].offset);

		*member = mallctl ? statistic(statistics[i].name) : NOT_MEASURED;
	}
}

void allocator_purge(void)
{
	/* MALLCTL_ARENAS_ALL in jemalloc's header: an index that stands for all of them. */
	if (mallctl)
		(void)mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
}
