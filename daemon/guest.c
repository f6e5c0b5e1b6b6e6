// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/guest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"

/* A plain process goes by its comm. */
static void guest_name(const struct host_root *root, pid_t pid, struct qemu_cmdline *ret)
{
	struct process_stat stat;

	if (process_stat_read(root, pid, &stat) == 0)
		snprintf(ret->name, sizeof(ret->name), "%s", stat.comm);
}

int guest_open(const struct host_root *root, pid_t pid, bool allow_pagemap_scan, struct guest *ret)
{
	struct guest guest = { .process.pidfd = -1, .pagemap.fd = -1 };
	int error;

	error = process_open(root, pid, &guest.process);
	if (error)
		return error;
	error = vmm_read(root, pid, &guest.vmm, &guest.is_vm);
	if (error)
		goto close_process;
	if (!guest.is_vm)
		guest_name(root, pid, &guest.vmm.cmdline);
	error = pagemap_open(root, pid, allow_pagemap_scan, &guest.pagemap);
	if (error)
		goto close_process;
	if (!process_alive(&guest.process)) {
		error = -ESRCH;
		goto close_pagemap;
	}
	*ret = guest;
	return 0;

close_pagemap:
	pagemap_done(&guest.pagemap);
close_process:
	process_done(&guest.process);
	return error;
}

void guest_done(struct guest *guest)
{
	extent_map_done(&guest->map);
	smaps_list_done(&guest->smaps);
	pagemap_done(&guest->pagemap);
	process_done(&guest->process);
}

static bool extents_overlap(const struct extent_map *map, const struct vma *vma)
{
	size_t low = 0, high = map->count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;

		if (map->extents[middle].end <= vma->start)
			low = middle + 1;
		else
			high = middle;
	}
	return low < map->count && map->extents[low].start < vma->end;
}

static void guest_sum_up(struct guest *guest)
{
	guest->rss_bytes = guest->pss_bytes = guest->ksm_bytes = 0;
	for (size_t i = 0; i < guest->smaps.count; i++) {
		const struct vma *vma = &guest->smaps.vmas[i];

		if (!extents_overlap(&guest->map, vma))
			continue;
		guest->rss_bytes += vma->rss_bytes;
		guest->pss_bytes += vma->pss_bytes;
		guest->ksm_bytes += vma->ksm_bytes;
	}
}

static void guest_take_ranges(
	struct guest *guest, const struct ram_range *ranges, size_t range_count)
{
	guest->ram_bytes = 0;
	for (size_t i = 0; i < RAM_VERDICT_COUNT; i++)
		guest->verdict_bytes[i] = 0;
	for (size_t i = 0; i < range_count; i++) {
		guest->ram_bytes += ranges[i].end - ranges[i].start;
		guest->verdict_bytes[ranges[i].verdict] += ranges[i].end - ranges[i].start;
	}
}

/* Below this, what lies beside guest RAM is the VMM's own: ACPI tables (2 MiB), firmware, video memory. */
#define BESIDE_RAM_BYTES (UINT64_C(16) << 20)

static bool any_marked(const struct extent_map *map)
{
	for (size_t i = 0; i < map->count; i++)
		if (map->extents[i].marked)
			return true;
	return false;
}

/* Where all of a guest's RAM can never merge, the scraps beside it are no reason to go into the VMM. One that is
 * marked has been gone into, and its RAM can merge when userfaultfd does not watch it any more. */
static size_t ranges_drop_scraps(
	const struct guest *guest, struct ram_range *ranges, size_t range_count)
{
	uint64_t unmergeable_bytes = 0;
	size_t kept = 0;

	for (size_t i = 0; i < range_count; i++)
		if (ranges[i].verdict != RAM_MERGEABLE)
			unmergeable_bytes += ranges[i].end - ranges[i].start;
	if (!guest->is_vm || any_marked(&guest->map) || !guest->vmm.cmdline.ram_bytes ||
		unmergeable_bytes < guest->vmm.cmdline.ram_bytes)
		return range_count;
	for (size_t i = 0; i < range_count; i++)
		if (ranges[i].verdict != RAM_MERGEABLE ||
			ranges[i].end - ranges[i].start >= BESIDE_RAM_BYTES)
			ranges[kept++] = ranges[i];
	return kept;
}

int guest_map(const struct host_root *root, struct guest *guest)
{
	const struct guest_ram_hints hints = {
		.is_vm = guest->is_vm,
		.ram_bytes = guest->vmm.cmdline.ram_bytes,
		.has_vfio = guest->vmm.has_vfio,
		.confidential = guest->vmm.cmdline.confidential,
	};
	_cleanup_free_ struct ram_range *ranges = NULL;
	struct footprint footprint = { 0 };
	struct smaps_list smaps;
	size_t range_count;
	int error;

	/* First: what moves while smaps is being read shows at the next look. Where it cannot be read, something seems
	 * to move all the time. */
	(void)footprint_read(root, guest->process.id.pid, &footprint);
	error = smaps_read(root, guest->process.id.pid, &smaps);
	if (error)
		return error;
	error = process_alive(&guest->process) ? 0 : -ESRCH;
	if (!error)
		error = guest_ram_map(smaps.vmas, smaps.count, &hints, &ranges, &range_count);
	if (!error)
		range_count = ranges_drop_scraps(guest, ranges, range_count);
	if (!error)
		error = extent_map_update(&guest->map, ranges, range_count);
	if (error) {
		smaps_list_done(&smaps);
		return error;
	}

	smaps_list_done(&guest->smaps);
	guest->smaps = smaps;
	guest->footprint = footprint;
	guest->advised = false;
	guest->looks++;
	guest_take_ranges(guest, ranges, range_count);
	guest_sum_up(guest);
	return 0;
}

bool guest_is_watched(const struct host_root *root, const struct guest *guest)
{
	struct smaps_list smaps;
	bool watched = false;

	/* Costs a readlink for each of its descriptors; only who has such a one is looked at closely. */
	if (process_find_descriptor(root, guest->process.id.pid, "anon_inode:[userfaultfd]") < 0 ||
		smaps_read(root, guest->process.id.pid, &smaps) < 0)
		return false;
	for (size_t i = 0; !watched && i < smaps.count; i++)
		watched = smaps.vmas[i].flags & VMA_MERGEABLE && smaps.vmas[i].flags & VMA_UFFD;
	smaps_list_done(&smaps);
	return watched;
}

int guest_pss_read(const struct host_root *root, const struct guest *guest, uint64_t *ret_bytes)
{
	uint64_t bytes;
	const int error = smaps_pss_read(root, guest->process.id.pid, &bytes);

	if (error)
		return error;
	if (!process_alive(&guest->process))
		return -ESRCH;
	*ret_bytes = bytes;
	return 0;
}

char *guest_ineligible_text(const struct guest *guest)
{
	char *text = NULL;

	for (size_t i = 0; i < RAM_VERDICT_COUNT; i++) {
		const uint64_t bytes = guest->verdict_bytes[i];
		char *longer;

		if (i == RAM_MERGEABLE || !bytes)
			continue;
		if (asprintf(&longer, "%s%s%llu MiB of %llu MiB: %s", text ? text : "",
			    text ? "; " : "", (unsigned long long)(bytes >> 20),
			    (unsigned long long)(guest->ram_bytes >> 20),
			    ram_verdict_text((enum ram_verdict)i)) < 0) {
			free(text);
			return NULL;
		}
		free(text);
		text = longer;
	}
	return text;
}
