// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/takeover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/arrival.h"
#include "daemon/heirs.h"
#include "daemon/log.h"
#include "daemon/means.h"
#include "daemon/release.h"
#include "daemon/whole.h"
#include "hypervisor-glue/smaps.h"

/* ---- what there is to un-mark ---- */

struct unmark_list {
	struct advice_request *requests;
	size_t count;
};

struct unmark {
	struct unmark_list plain;  /* holds no KSM page: costs nothing to un-mark */
	struct unmark_list merged; /* holds KSM pages: */
	uint64_t merged_pages;     /* so many, to be copied back */
};

static void unmark_done(struct unmark *unmark)
{
	free(unmark->plain.requests);
	free(unmark->merged.requests);
}

static unsigned long long unmark_kib(const struct unmark *unmark)
{
	unsigned long long bytes = 0;

	for (size_t i = 0; i < unmark->plain.count; i++)
		bytes += unmark->plain.requests[i].length;
	for (size_t i = 0; i < unmark->merged.count; i++)
		bytes += unmark->merged.requests[i].length;
	return bytes >> 10;
}

static int unmark_add(struct unmark_list *list, uint64_t start, uint64_t end)
{
	struct advice_request *more = reallocarray(list->requests, list->count + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	list->requests = more;
	more[list->count++] = (struct advice_request){ start, end - start, ADVICE_UNMERGEABLE, 0 };
	return 0;
}

static int unmark_carry_out(struct core *core, struct target *target, struct unmark_list *list)
{
	int error;

	if (!list->count)
		return 0;
	error = means_advise(core, target, list->requests, list->count);
	for (size_t i = 0; !error && i < list->count; i++)
		error = list->requests[i].ret_result;
	return error;
}

/* One slice of a mergeable VMA, at most one extent long. */
struct slice {
	uint64_t start, end;
	struct extent *extent; /* NULL: no guest RAM of ours to see */
};

/* How many KSM pages it holds, or -errno. */
static int slice_ksm_pages(struct target *target, const struct slice *slice)
{
	struct page_frame frames[EXTENT_PAGES];
	const size_t pages = (slice->end - slice->start) / PAGE_BYTES;
	const int error = pagemap_frames(&target->guest.pagemap, slice->start, pages, frames);
	int count = 0;

	for (size_t i = 0; !error && i < pages; i++)
		count += frames[i].ksm;
	return error ? error : count;
}

static struct slice slice_next(const struct target *target, const struct vma *vma, uint64_t at)
{
	const uint64_t border = (at / EXTENT_BYTES + 1) * EXTENT_BYTES;
	struct slice slice = { .start = at, .end = border < vma->end ? border : vma->end };

	slice.extent = extent_map_find(&target->guest.map, at);
	if (slice.extent && slice.extent->end < slice.end)
		slice.end = slice.extent->end;
	return slice;
}

/* Somebody else marked it and ksmd folded in it: from now on it is as if we had. */
static void extent_adopt_foreign(struct extent *extent, const struct vma *vma)
{
	extent->marked = true;
	extent->advice = vma->flags & VMA_HUGEPAGE     ? HUGE_ADVICE_ALWAYS
			 : vma->flags & VMA_NOHUGEPAGE ? HUGE_ADVICE_NEVER
						       : HUGE_ADVICE_NONE;
	extent->zero_before = 0;
	extent->was_huge = extent->huge;
}

static int unmark_find_in(
	struct target *target, const struct vma *vma, bool adopt, struct unmark *unmark)
{
	int error = 0;

	for (uint64_t at = vma->start; !error && at < vma->end;) {
		const struct slice slice = slice_next(target, vma, at);
		int merged;

		at = slice.end;
		if (slice.extent && slice.extent->marked)
			continue;
		merged = slice_ksm_pages(target, &slice);
		if (merged < 0)
			return merged;
		error = unmark_add(
			merged ? &unmark->merged : &unmark->plain, slice.start, slice.end);
		unmark->merged_pages += (unsigned)merged;
		if (merged && adopt && slice.extent)
			extent_adopt_foreign(slice.extent, vma);
	}
	return error;
}

/* All that is mergeable as of the last map without being ours. adopt: where something of it is
 * folded, it becomes ours. */
static int unmark_find(struct target *target, bool adopt, struct unmark *unmark)
{
	const struct smaps_list *smaps = &target->guest.smaps;
	int error = 0;

	for (size_t i = 0; !error && i < smaps->count; i++)
		if (smaps->vmas[i].flags & VMA_MERGEABLE)
			error = unmark_find_in(target, &smaps->vmas[i], adopt, unmark);
	return error;
}

/* ---- the active set ---- */

/* Marked by somebody else, and some of it folded: it can only stay as it is, so from now on it is
 * as if we had marked it. */
static void adopt_whole(struct target *target)
{
	const struct smaps_list *smaps = &target->guest.smaps;

	for (size_t i = 0; i < smaps->count; i++) {
		const struct vma *vma = &smaps->vmas[i];

		for (size_t e = 0; vma->flags & VMA_MERGEABLE && e < target->guest.map.count; e++) {
			struct extent *extent = &target->guest.map.extents[e];

			if (!extent->marked && extent->start >= vma->start &&
				extent->start < vma->end)
				extent_adopt_foreign(extent, vma);
		}
	}
}

static int clean_whole(struct core *core, struct target *target, struct unmark *unmark)
{
	if (!unmark->merged_pages && !target_has_marks(target))
		return whole_unmark(core, target);
	adopt_whole(target);
	return 0;
}

static int clean_target(struct core *core, struct target *target, struct unmark *unmark)
{
	int error = unmark_find(target, true, unmark);

	if (!error && unmark->plain.count + unmark->merged.count)
		error = means_attach(core, target);
	if (error)
		return error;
	if (target->hook && target->hook->ops->whole)
		return clean_whole(core, target, unmark);
	return unmark_carry_out(core, target, &unmark->plain);
}

int takeover_clean_active(struct core *core, bool *ret_found)
{
	bool adopted = false, found = false;
	int recorded;

	for (size_t i = 0; i < core->registry.count; i++) {
		struct target *target = core->registry.targets[i];
		struct unmark unmark = { 0 };
		_cleanup_free_ char *reason = NULL;
		int error;

		if (!target_wants_folds(target, core->active_group) ||
			foreign_was_all_ours(core, target) || foreign_is_all_ours(core, target))
			continue;
		found = true;
		error = clean_target(core, target, &unmark);
		if (!error && unmark.merged.count)
			heirs_note_folds(core, target);
		if (!error)
			log_info("%s (pid %d): %zu ranges marked by somebody else un-marked, %zu "
				 "with "
				 "folded pages adopted",
				target_name(target), (int)target_pid(target), unmark.plain.count,
				unmark.merged.count);
		adopted = adopted || unmark.merged.count;
		unmark_done(&unmark);
		if (error == -ENOMEM)
			return error;
		if (!error || error == -ESRCH)
			continue;
		means_explain(core, target, error, &reason);
		text_set(&target->trouble,
			"all of its RAM is marked mergeable (QEMU's default), and that cannot be "
			"undone: %s",
			reason ? reason : "?");
	}
	recorded = adopted ? core_record(core) : 0;
	if (!recorded)
		*ret_found = found;
	return recorded;
}

/* ---- a stranger ---- */

/* The hooks in the order in which they are tried. QEMU itself is asked first: it then knows, and
 * nothing goes into a process that nobody has named. But it copies back all at once, in its main
 * loop; where that would be felt the ring goes first, slice by slice. The one finishes what the
 * other leaves: ROMs and video memory are out of the monitor's reach. */
static const struct merge_hook_ops *const for_little[] = { &merge_hook_qmp, &merge_hook_ring };
static const struct merge_hook_ops *const for_much[] = { &merge_hook_ring, &merge_hook_qmp };

/* A hook that was refused, or that left something over, does so again in the next pass. */
#define RETRY_NS (60 * NS_PER_S)

/* A libvirt that has not answered so long after our start is not waited for. */
#define LIBVIRT_PATIENCE_NS (30 * NS_PER_S)

struct takeover {
	struct core *core;
	struct target *target;
	struct unmark unmark; /* what is (still) to be done */
	char *trouble;        /* why the hooks so far did not do it */
};

static void takeover_note(struct takeover *takeover, const char *hook, int error)
{
	_cleanup_free_ char *before = steal_pointer(&takeover->trouble);
	_cleanup_free_ char *reason = NULL;

	means_explain(takeover->core, takeover->target, error, &reason);
	text_set(&takeover->trouble, "%s%shook %s: %s", before ? before : "", before ? "; " : "",
		hook, reason ? reason : strerror(-error));
}

/* Forgets what was found, and looks again. */
static int takeover_look(struct takeover *takeover)
{
	int error;

	unmark_done(&takeover->unmark);
	takeover->unmark = (struct unmark){ 0 };
	error = guest_map(&takeover->core->root, &takeover->target->guest);
	return error ? error : unmark_find(takeover->target, false, &takeover->unmark);
}

static bool takeover_is_done(const struct takeover *takeover)
{
	return !takeover->unmark.plain.count && !takeover->unmark.merged.count;
}

static int takeover_by(struct takeover *takeover, const struct merge_hook_ops *ops)
{
	struct core *core = takeover->core;
	struct target *target = takeover->target;
	int error = means_attach_by(core, target, ops);

	if (!error && ops->whole) {
		whole_warn(target, takeover->unmark.merged_pages * PAGE_BYTES);
		error = whole_unmark(core, target);
		if (!error && target->hook->trouble[0])
			error = -EIO;
	} else if (!error) {
		error = unmark_carry_out(core, target, &takeover->unmark.plain);
		if (!error)
			error = unmark_carry_out(core, target, &takeover->unmark.merged);
	}
	if (error && error != -ESRCH)
		takeover_note(takeover, ops->name, error);
	return error;
}

/* All of it but what is ours, the memory for that being there. */
static int takeover_finish(struct takeover *takeover)
{
	const bool little = takeover->unmark.merged_pages * PAGE_BYTES < WHOLE_WARN_BYTES;
	const struct merge_hook_ops *const *hooks = little ? for_little : for_much;

	for (size_t i = 0; i < ARRAY_SIZE(for_little) && !takeover_is_done(takeover); i++) {
		int looked;

		if (hooks[i]->whole && target_has_marks(takeover->target))
			continue; /* it would take ours, too */
		looked = takeover_by(takeover, hooks[i]);
		if (looked != -ESRCH)
			looked = takeover_look(takeover);
		if (looked)
			return looked;
	}
	if (takeover_is_done(takeover))
		return 0;
	text_set(&takeover->target->takeover_reason, "%llu KiB of it are still mergeable; %s",
		unmark_kib(&takeover->unmark),
		takeover->trouble ? takeover->trouble : "it was marked again at once");
	takeover->target->takeover_retry_ns = clock_monotonic_ns() + RETRY_NS;
	return -EBUSY;
}

/* The memory is not there: what holds no KSM page needs none. */
static void takeover_plain(struct takeover *takeover)
{
	if (takeover->unmark.plain.count &&
		means_attach_by(takeover->core, takeover->target, &merge_hook_ring) == 0)
		(void)unmark_carry_out(takeover->core, takeover->target, &takeover->unmark.plain);
}

static const char *takeover_why(const struct takeover *takeover)
{
	return takeover->target->takeover_reason ? takeover->target->takeover_reason : "?";
}

/* A domain of a libvirt that is only just being connected to: its monitor, which is to be asked first, is out of
 * reach for the moment. */
static bool libvirt_is_awaited(const struct core *core, const struct target *target)
{
	_cleanup_(links_tables_done) struct links_tables tables = { 0 };

	if (!target->guest.vmm.cmdline.by_libvirt ||
		clock_monotonic_ns() - core->opened_ns >= LIBVIRT_PATIENCE_NS ||
		links_tables(core->links, &tables) < 0)
		return false;
	for (size_t i = 0; i < tables.count; i++)
		if (tables.tables[i]->trouble)
			return true;
	return false;
}

static int takeover_run(struct takeover *takeover, char **ret_reason)
{
	const pid_t pid = target_pid(takeover->target);
	int error;

	if (!arrival_is_over(takeover->core, takeover->target)) {
		text_set(ret_reason, "%s", arrival_text(takeover->target));
		return -EAGAIN;
	}
	if (clock_monotonic_ns() < takeover->target->takeover_retry_ns) {
		text_set(ret_reason, "%s", takeover_why(takeover));
		return -EBUSY;
	}
	if (libvirt_is_awaited(takeover->core, takeover->target)) {
		text_set(ret_reason, "libvirt, which it is a domain of, has not answered yet");
		return -EAGAIN;
	}
	error = takeover_look(takeover);
	if (!error && takeover->unmark.merged.count) {
		error = release_headroom(takeover->core, pid,
			takeover->unmark.merged_pages * PAGE_BYTES, ret_reason);
		if (error)
			takeover_plain(takeover);
	}
	if (!error)
		error = takeover_finish(takeover);
	if (error == -EBUSY)
		text_set(ret_reason, "%s", takeover_why(takeover));
	else if (error && !*ret_reason)
		text_set(ret_reason, "%s", strerror(-error));
	return error;
}

int takeover_stranger(struct core *core, const struct stranger *stranger, char **ret_reason)
{
	struct takeover takeover = {
		.core = core,
		.target = registry_find(&core->registry, stranger->pid),
	};
	struct target *own = NULL;
	int error = 0;

	*ret_reason = NULL;
	if (!takeover.target) {
		error = target_new(&core->root, stranger->pid, true, &own);
		takeover.target = own;
	}
	if (error)
		text_set(ret_reason, "%s", strerror(-error));
	else
		error = takeover_run(&takeover, ret_reason);
	if (!own && takeover.target)
		means_let_go(core, takeover.target);
	unmark_done(&takeover.unmark);
	free(takeover.trouble);
	if (own)
		registry_hook_detach(&core->registry, own); /* its cost stays in the books */
	target_free(own);
	return error;
}
