// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/qmp_memdev.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "hypervisor-glue/qmp.h"

/* What QEMU takes as an id (id_wellformed() in util/id.c), and no path to anywhere else. */
static bool id_is_plain(const char *id)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

	return *id && *id != '.' && strspn(id, allowed) == strlen(id) &&
	       strlen(id) < MEMDEV_PATH_BYTES - strlen("/objects/");
}

static void memdevs_take(struct memdevs *memdevs, const json_t *entry)
{
	const char *id = json_string_value(json_object_get(entry, "id"));
	const json_int_t size = json_integer_value(json_object_get(entry, "size"));
	struct memdev *memdev = &memdevs->list[memdevs->count];

	/* Shared memory never merges, though QEMU says "merge": true of it. */
	if (!id || !id_is_plain(id) || size <= 0 || json_is_true(json_object_get(entry, "share")) ||
		memdevs->count == MEMDEVS_MOST)
		return;
	(void)snprintf(memdev->path, sizeof(memdev->path), "/objects/%s", id);
	memdev->size = (uint64_t)size;
	memdevs->count++;
}

int memdevs_parse(const char *reply, size_t length, struct memdevs *ret, char reason[256])
{
	json_t *value, *entry;
	size_t i;
	const int error = qmp_reply_parse(reply, length, &value, reason);

	if (error)
		return error;
	ret->count = 0;
	json_array_foreach(value, i, entry)
		memdevs_take(ret, entry);
	json_decref(value);
	return 0;
}

struct search {
	const struct smaps_list *smaps;
	const struct ram_range *ram; /* what guest_ram_map() says, ascending */
	size_t ram_count;
	uint64_t size;
	/* QEMU advises all its RAM about huge pages, where the kernel has them; what else happens to be of
	 * that size it does not. */
	bool advised_only;
};

static bool is_ram(const struct search *search, const struct vma *vma)
{
	for (size_t i = 0; i < search->ram_count; i++)
		if (search->ram[i].verdict == RAM_MERGEABLE && search->ram[i].start <= vma->start &&
			vma->end <= search->ram[i].end)
			return !search->advised_only ||
			       vma->flags & (VMA_HUGEPAGE | VMA_NOHUGEPAGE | VMA_MERGEABLE);
	return false;
}

/* Marks split a backend into many VMAs, and what lies right beside it may be RAM, too: a run of neighbours that
 * is exactly as long as the backend is one. */
static size_t search_run(const struct search *search, struct ram_range *ret)
{
	const struct vma *const vmas = search->smaps->vmas;
	size_t first = 0, found = 0;

	for (size_t i = 0; i < search->smaps->count; i++) {
		if (!is_ram(search, &vmas[i])) {
			first = i + 1;
			continue;
		}
		if (i > first && vmas[i - 1].end != vmas[i].start)
			first = i;
		while (first < i && vmas[i].end - vmas[first].start > search->size)
			first++;
		if (vmas[i].end - vmas[first].start != search->size)
			continue;
		ret[found++] = (struct ram_range){ vmas[first].start, vmas[i].end, RAM_MERGEABLE };
		first = i + 1;
	}
	return found;
}

int memdevs_locate(const struct memdevs *memdevs, uint64_t size, const struct smaps_list *smaps,
	struct ram_range **ret_ranges, size_t *ret_count)
{
	const struct guest_ram_hints hints = { .is_vm = true };
	_cleanup_free_ struct ram_range *ram = NULL, *found = NULL;
	struct search search = { .smaps = smaps, .size = size, .advised_only = true };
	size_t wanted = 0, count;
	const int error =
		guest_ram_map(smaps->vmas, smaps->count, &hints, &ram, &search.ram_count);

	if (error)
		return error;
	search.ram = ram;
	for (size_t i = 0; i < memdevs->count; i++)
		wanted += memdevs->list[i].size == size;
	found = calloc(smaps->count + 1, sizeof(*found));
	if (!found)
		return -ENOMEM;
	count = search_run(&search, found);
	if (count != wanted) {
		search.advised_only = false;
		count = search_run(&search, found);
	}
	if (!count || count != wanted)
		return -ENXIO;
	*ret_ranges = steal_pointer(&found);
	*ret_count = count;
	return 0;
}
