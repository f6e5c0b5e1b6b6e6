// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/glimpse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/allocator.h"
#include "daemon/groups.h"
#include "daemon/ledger.h"
#include "daemon/source.h"
#include "daemon/visit.h"
#include "hashing/print_table.h"

/*
 * Of 64 pages that were looked at so many must be zero or occur elsewhere. In four guests a page's
 * twin is among what was looked at with a probability of a third, and at most one of an extent's 64
 * is seen to repeat with one of 3 % if a quarter of them have twins. Once the others are read, that
 * is 1 % if it is an eighth: below that no extent is worth folding.
 */
#define PROMISE_PAGES 2

/* Less than 128 MiB are read in the time it takes to think about it. */
#define GLIMPSES_LEAST 64
/* 128 GiB in one pass: their glimpses take 32 MiB, and as much to judge them. */
#define GLIMPSES_MOST 65536
/* Passing by what is known of an extent takes 3 us, reading one 150 us. */
#define KNOWN_MOST 16

/* Somebody always waits for something where guests boot or write all the time. */
#define PATIENCE_NS (60 * NS_PER_S)

struct glimpse {
	struct target *target;
	struct extent *extent;
	struct scan_glimpse seen;
	enum view_trust trust;
	uint64_t cpu_ns;
	bool taken, promising;
};

static bool is_asked_for(const struct target *target)
{
	return target->mapped && target->policy.mode == MODE_MERGE && !target->held &&
	       !target->inherited;
}

static bool is_unread(const struct extent *extent, uint64_t now)
{
	return !extent->prints && !extent->visits && !extent->glimpsed && !extent->marked &&
	       !extent->watched && extent->due_ns <= now;
}

static size_t target_collect(
	const struct core *core, struct target *target, uint64_t now, struct glimpse *glimpses)
{
	const enum view_trust trust = glimpses ? source_trust(core, target) : TRUST_NOTHING;
	size_t count = 0;

	for (size_t e = 0; e < target->guest.map.count; e++) {
		struct extent *extent = &target->guest.map.extents[e];

		if (!is_unread(extent, now))
			continue;
		if (glimpses)
			glimpses[count] = (struct glimpse){
				.target = target, .extent = extent, .trust = trust
			};
		count++;
	}
	return count;
}

/* With glimpses NULL only counts them. */
static size_t collect(const struct core *core, uint64_t now, struct glimpse *glimpses)
{
	size_t count = 0;

	for (size_t t = 0; t < core->registry.count; t++) {
		struct target *target = core->registry.targets[t];

		if (is_asked_for(target) && !target->unsettled)
			count += target_collect(
				core, target, now, glimpses ? glimpses + count : NULL);
	}
	return count;
}

static size_t extents_known(const struct core *core)
{
	size_t known = 0;

	for (size_t t = 0; t < core->registry.count; t++) {
		const struct extent_map *map = &core->registry.targets[t]->guest.map;

		for (size_t e = 0; e < map->count; e++)
			known += map->extents[e].prints != NULL;
	}
	return known;
}

struct look {
	struct core *core;
	struct glimpse *glimpses;
};

/* One extent: any of the scanning threads. What goes wrong here goes wrong when it is read, too. */
static bool look_work(void *context, struct scanner *scanner, size_t index)
{
	const struct look *look = context;
	struct glimpse *glimpse = &look->glimpses[index];
	const struct scan_source source = source_of(look->core, glimpse->target, glimpse->trust);

	glimpse->taken = scan_glimpse(scanner, &source, glimpse->extent, &glimpse->seen) > 0;
	glimpse->cpu_ns = scanner_charge(scanner);
	return !budget_pace(&look->core->budget, look->core->interrupt);
}

int glimpses_take(struct core *core, uint64_t now_ns, struct glimpses *ret)
{
	const uint64_t charged_before = core->crew.scanners[0].charged_ns;
	const size_t count = collect(core, now_ns, NULL);
	struct look look = { .core = core };

	*ret = (struct glimpses){ 0 };
	if (count < GLIMPSES_LEAST || count > GLIMPSES_MOST ||
		extents_known(core) > count * KNOWN_MOST)
		return 0;
	look.glimpses = calloc(count, sizeof(*look.glimpses));
	if (!look.glimpses)
		return -ENOMEM;
	*ret = (struct glimpses){ .all = look.glimpses, .count = count };
	(void)collect(core, now_ns, look.glimpses);
	crew_run(&core->crew, crew_size(core->config.cpu_percent, crew_cpus()), count, look_work,
		&look);
	/* The first scanner is the pass thread's. */
	ledger_visits_here(core, core->crew.scanners[0].charged_ns - charged_before);
	for (size_t i = 0; i < count; i++)
		ledger_visit(look.glimpses[i].target, look.glimpses[i].cpu_ns);
	return 0;
}

void glimpses_done(struct glimpses *glimpses)
{
	free(glimpses->all);
	*glimpses = (struct glimpses){ 0 };
}

/* ---- what they promise ---- */

static bool is_open(const struct glimpse *glimpse, const char *group)
{
	return glimpse->taken && !glimpse->promising &&
	       !strcmp(glimpse->target->policy.group, group);
}

static int group_table(
	const struct core *core, const struct glimpses *glimpses, const char *group,
	struct print_table *ret)
{
	size_t count = 0;
	int error;

	for (size_t i = 0; i < glimpses->count; i++)
		count += is_open(&glimpses->all[i], group) ? glimpses->all[i].seen.count : 0;
	error = print_table_init(ret, count);
	if (error)
		return error;
	for (size_t i = 0; i < glimpses->count; i++) {
		const struct glimpse *glimpse = &glimpses->all[i];

		for (size_t p = 0; is_open(glimpse, group) && p < glimpse->seen.count; p++)
			print_table_add(ret, glimpse->seen.prints[p]);
	}
	for (size_t t = 0; t < core->registry.count; t++) {
		const struct target *target = core->registry.targets[t];

		if (!is_asked_for(target) || strcmp(target->policy.group, group) != 0)
			continue;
		for (size_t e = 0; e < target->guest.map.count; e++)
			if (target->guest.map.extents[e].prints)
				print_table_pass(ret, target->guest.map.extents[e].prints);
	}
	return 0;
}

static bool is_promising(const struct glimpse *glimpse, const struct print_table *table)
{
	unsigned pages = glimpse->seen.zeros;

	for (size_t p = 0; p < glimpse->seen.count && pages < PROMISE_PAGES; p++)
		pages += print_table_repeats(table, glimpse->seen.prints[p]);
	return pages >= PROMISE_PAGES;
}

static int group_judge(const struct core *core, struct glimpses *glimpses, const char *group,
	size_t *ret_more)
{
	struct print_table table;
	int error;

	error = group_table(core, glimpses, group, &table);
	if (error)
		return error;
	for (size_t i = 0; i < glimpses->count; i++) {
		struct glimpse *glimpse = &glimpses->all[i];
		struct extent *extent = glimpse->extent;

		if (!is_open(glimpse, group))
			continue;
		glimpse->promising = is_promising(glimpse, &table);
		*ret_more += glimpse->promising;
		extent->glimpsed = true;
		extent->put_off = !glimpse->promising;
		extent->due_ns = extent->put_off ? UINT64_MAX : 0;
	}
	print_table_done(&table);
	return 0;
}

/* Who is to be read is judged, and takes no memory while the fingerprints come. */
static void keep_open(struct glimpses *glimpses)
{
	struct glimpse *fewer;
	size_t kept = 0;

	for (size_t i = 0; i < glimpses->count; i++)
		if (glimpses->all[i].taken && !glimpses->all[i].promising)
			glimpses->all[kept++] = glimpses->all[i];
	glimpses->count = kept;
	if (!kept) {
		glimpses_done(glimpses);
		return;
	}
	fewer = reallocarray(glimpses->all, kept, sizeof(*fewer));
	if (fewer)
		glimpses->all = fewer;
}

int glimpses_judge(struct core *core, struct glimpses *glimpses, size_t *ret_more)
{
	int error = 0;

	*ret_more = 0;
	if (!glimpses->count)
		return 0;
	for (size_t t = 0; !error && t < core->registry.count; t++)
		if (is_group_leader(core, t))
			error = group_judge(core, glimpses,
				core->registry.targets[t]->policy.group, ret_more);
	keep_open(glimpses);
	/* The table that they were judged by is as large as some of the fingerprints to come. */
	allocator_purge();
	if (!core->put_off_ns)
		core->put_off_ns = clock_monotonic_ns();
	return error;
}

/* ---- what was put off ---- */

static bool is_something_awaited(const struct core *core)
{
	return (core->plan.fold_pages && !core->batched_since_ns) || visit_awaited_ns(core) != UINT64_MAX;
}

void glimpses_redeem(struct core *core, uint64_t now_ns)
{
	if (!core->put_off_ns)
		return;
	if (is_something_awaited(core) && now_ns - core->put_off_ns < PATIENCE_NS)
		return;
	core->put_off_ns = 0;
	for (size_t t = 0; t < core->registry.count; t++) {
		struct extent_map *map = &core->registry.targets[t]->guest.map;

		for (size_t e = 0; e < map->count; e++) {
			struct extent *extent = &map->extents[e];

			if (!extent->put_off)
				continue;
			extent->put_off = false;
			extent->due_ns = 0;
		}
	}
}

bool glimpses_are_owed(const struct core *core)
{
	return core->put_off_ns;
}
