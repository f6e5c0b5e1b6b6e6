// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Neighbouring VMAs of one kind are put together to blocks first, because marks and huge-page
 * advice split what the VMM mapped as one piece; then each block is judged as a whole.
 */
#include "hypervisor-glue/guest_ram.h"

#include <errno.h>
#include <stdlib.h>

/* Below this lie thread stacks, malloc arenas and video memory; the smallest DIMM and the smallest
 * backend anybody gives a guest lie above. */
#define RAM_BLOCK_MIN_BYTES (UINT64_C(16) << 20)
/* What a process maps in smaller pieces is never worth two VMAs and a visit. */
#define PROCESS_BLOCK_MIN_BYTES (UINT64_C(64) << 10)

const char *ram_verdict_text(enum ram_verdict verdict)
{
	static const char *const texts[RAM_VERDICT_COUNT] = {
		[RAM_MERGEABLE] = "private memory that KSM can merge",
		[RAM_SHARED] = "shared memory (share=on, memfd, vhost-user): KSM merges private "
			       "anonymous memory only",
		[RAM_FILE] = "a private mapping of a file, of which KSM could only merge what the "
			     "guest has written",
		[RAM_HUGETLB] = "backed by hugetlbfs, which KSM never merges",
		[RAM_PINNED] = "pinned for device passthrough: KSM skips every page that a device "
			       "may write to",
		[RAM_UFFD] = "registered with userfaultfd (post-copy migration or a background "
			     "snapshot is under way)",
		[RAM_DEVICE] = "device memory, which KSM never merges",
		[RAM_CONFIDENTIAL] = "memory of a confidential guest, encrypted or out of the "
				     "host's reach",
	};

	if ((unsigned int)verdict >= RAM_VERDICT_COUNT)
		return "unknown";
	return texts[verdict];
}

static enum ram_verdict verdict_of(const struct vma *vma, const struct guest_ram_hints *hints)
{
	if (vma->flags & VMA_HUGETLB)
		return RAM_HUGETLB;
	if (vma->flags & (VMA_PFNMAP | VMA_IO | VMA_MIXEDMAP | VMA_DONTEXPAND))
		return RAM_DEVICE;
	if (vma->shared)
		return RAM_SHARED;
	if (vma->backing == VMA_FILE)
		return RAM_FILE;
	if (vma->flags & VMA_UFFD)
		return RAM_UFFD;
	if (hints->confidential)
		return RAM_CONFIDENTIAL;
	return hints->has_vfio ? RAM_PINNED : RAM_MERGEABLE;
}

static bool is_private_anonymous(const struct vma *vma)
{
	return vma->backing == VMA_ANONYMOUS && !vma->shared;
}

/* Whether the VMA could be part of what we look for. */
static bool is_wanted(const struct vma *vma, const struct guest_ram_hints *hints)
{
	if (!vma->writable || vma->backing == VMA_SPECIAL)
		return false;
	if (!hints->is_vm)
		return is_private_anonymous(vma);
	return !vma->heap && !vma->executable; /* executable: TCG's translation buffer */
}

/* VMAs first to last - 1, without a gap, of one backing and with one verdict. */
struct block {
	size_t first, last;
	enum ram_verdict verdict;
};

/* The block that begins with the wanted VMA vmas[first]. */
static struct block block_from(
	const struct vma *vmas, size_t count, size_t first, const struct guest_ram_hints *hints)
{
	const struct vma *const head = &vmas[first];
	struct block block = {
		.first = first,
		.last = first + 1,
		.verdict = verdict_of(head, hints),
	};

	for (; block.last < count; block.last++) {
		const struct vma *const next = &vmas[block.last];

		if (next->start != vmas[block.last - 1].end || !is_wanted(next, hints) ||
			next->backing != head->backing || next->shared != head->shared ||
			verdict_of(next, hints) != block.verdict)
			break;
	}
	return block;
}

/* VMAs of the block, in a row, that together are exactly as large as the declared RAM. */
static bool block_find_declared(
	const struct vma *vmas, const struct block *block, uint64_t ram_bytes, struct block *ret)
{
	size_t first = block->first, last = block->first;

	while (last < block->last) {
		const uint64_t bytes = vmas[last].end - vmas[first].start;

		if (bytes == ram_bytes) {
			*ret = (struct block){ first, last + 1, block->verdict };
			return true;
		}
		if (bytes < ram_bytes)
			last++;
		else if (++first > last)
			last = first;
	}
	return false;
}

static bool is_advised(const struct vma *vma)
{
	return vma->flags & (VMA_MERGEABLE | VMA_HUGEPAGE | VMA_NOHUGEPAGE);
}

/* A small block is RAM only where it was advised: its ends that were not are somebody else's. */
static bool block_trim_to_advised(const struct vma *vmas, struct block *block)
{
	bool ours = false;

	while (block->first < block->last && !is_advised(&vmas[block->first]))
		block->first++;
	while (block->first < block->last && !is_advised(&vmas[block->last - 1]))
		block->last--;
	for (size_t i = block->first; i < block->last; i++)
		ours |= (vmas[i].flags & (VMA_MERGEABLE | VMA_HUGEPAGE)) != 0;
	return ours;
}

/* Whether it is RAM, and how much of it. */
static bool block_counts(
	const struct vma *vmas, struct block *block, const struct guest_ram_hints *hints)
{
	const uint64_t bytes = vmas[block->last - 1].end - vmas[block->first].start;

	if (!hints->is_vm)
		return bytes >= PROCESS_BLOCK_MIN_BYTES;
	if (hints->ram_bytes && bytes == hints->ram_bytes)
		return true;
	if (block->verdict == RAM_DEVICE) /* a passed-through device's own memory is not RAM */
		return false;
	if (bytes >= RAM_BLOCK_MIN_BYTES)
		return true;
	return is_private_anonymous(&vmas[block->first]) && block_trim_to_advised(vmas, block);
}

struct range_list {
	struct ram_range *ranges;
	size_t count;
};

static void range_list_add(struct range_list *list, const struct vma *vmas, struct block block,
	const struct guest_ram_hints *hints)
{
	if (block.first == block.last || !block_counts(vmas, &block, hints))
		return;
	list->ranges[list->count++] = (struct ram_range){
		.start = vmas[block.first].start,
		.end = vmas[block.last - 1].end,
		.verdict = block.verdict,
	};
}

/*
 * A thread's stack or a heap may lie right beside guest RAM and look the same: what is exactly the
 * declared RAM is taken out, and what lies before and behind it is judged by itself.
 */
static void range_list_add_parts(struct range_list *list, const struct vma *vmas,
	const struct block *block, const struct guest_ram_hints *hints)
{
	struct block before = *block, declared, behind = *block;

	if (!hints->is_vm || !block_find_declared(vmas, block, hints->ram_bytes, &declared)) {
		range_list_add(list, vmas, *block, hints);
		return;
	}
	before.last = declared.first;
	behind.first = declared.last;
	range_list_add(list, vmas, before, hints);
	range_list_add(list, vmas, declared, hints);
	range_list_add(list, vmas, behind, hints);
}

int guest_ram_map(const struct vma *vmas, size_t vma_count, const struct guest_ram_hints *hints,
	struct ram_range **ret_ranges, size_t *ret_count)
{
	struct range_list list = { 0 };

	/* Every range has a VMA of its own. */
	list.ranges = calloc(vma_count + 1, sizeof(*list.ranges));
	if (!list.ranges)
		return -ENOMEM;
	for (size_t i = 0; i < vma_count;) {
		struct block block;

		if (!is_wanted(&vmas[i], hints)) {
			i++;
			continue;
		}
		block = block_from(vmas, vma_count, i, hints);
		range_list_add_parts(&list, vmas, &block, hints);
		i = block.last;
	}
	*ret_ranges = list.ranges;
	*ret_count = list.count;
	return 0;
}
