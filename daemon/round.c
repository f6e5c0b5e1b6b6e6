// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/round.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "daemon/account.h"
#include "daemon/budget.h"
#include "daemon/ledger.h"
#include "daemon/source.h"
#include "hypervisor-glue/numa.h"

/* ---- one extent: any of the scanning threads ---- */

struct round {
	struct core *core;
	struct visit *visits; /* each is one thread's while it is under way */
	atomic_size_t room;   /* extents that may still get fingerprints */
	atomic_size_t unread; /* extents there was no room for */
};

static bool room_take(struct round *round)
{
	size_t room = atomic_load(&round->room);

	while (room)
		if (atomic_compare_exchange_weak(&round->room, &room, room - 1))
			return true;
	return false;
}

static void extent_visit(struct round *round, struct scanner *scanner, struct visit *visit)
{
	struct target *target = visit->target;
	struct extent *extent = visit->extent;
	const bool is_new = !extent->prints;
	const struct scan_source source = source_of(round->core, target, visit->trust);
	bool has_lonely;

	if (is_new && !room_take(round)) {
		atomic_fetch_add(&round->unread, 1);
		return;
	}
	has_lonely = account_before_read(&target->guest, extent, &visit->broken);
	visit->error = extent->visits ? scan_extent_again(scanner, &source, extent)
				      : scan_extent(scanner, &source, extent);
	if (has_lonely)
		account_after_read(&target->guest, extent);
	visit->done = !visit->error;
	if (is_new && !extent->prints)
		atomic_fetch_add(&round->room, 1);
}

static bool round_work(void *context, struct scanner *scanner, size_t index)
{
	struct round *round = context;
	struct visit *visit = &round->visits[index];

	extent_visit(round, scanner, visit);
	visit->cpu_ns = scanner_charge(scanner);
	return visit->error != -ENOMEM &&
	       !budget_pace(&round->core->budget, round->core->interrupt);
}

/* ---- where they lie ---- */

/* Who is asked for at a time. */
#define ASKED_MOST ((size_t)512)

/* An extent is mostly on the node that its first page is on. One whose first page is not there, or that
 * cannot be asked for, goes to the lot of those that are read from anywhere: behind the nodes. */
static size_t node_index(const struct numa_nodes *nodes, uint16_t number)
{
	size_t i = 0;

	while (i < nodes->count && nodes->nodes[i].number != number)
		i++;
	return i;
}

/* Of visits to one target. */
static void lots_ask(const struct numa_nodes *nodes, struct visit *visits, size_t count)
{
	uint64_t addresses[ASKED_MOST] = { 0 };
	uint16_t numbers[ASKED_MOST];
	const size_t of_an_age = nodes->count + 1;
	bool told;

	for (size_t i = 0; i < count; i++)
		addresses[i] = visits[i].extent->start;
	told = numa_page_nodes(target_pid(visits[0].target), addresses, count, numbers) == 0;
	for (size_t i = 0; i < count; i++)
		visits[i].lot = (visits[i].target->young ? 0 : of_an_age) +
				node_index(nodes, told ? numbers[i] : NUMA_NO_NODE);
}

static int compare(uintptr_t a, uintptr_t b)
{
	return (a > b) - (a < b);
}

/* Within a lot as they were: neighbours stay neighbours. */
static int compare_visits(const void *a, const void *b)
{
	const struct visit *one = a, *other = b;

	if (one->lot != other->lot)
		return compare(one->lot, other->lot);
	if (one->target != other->target)
		return compare((uintptr_t)one->target, (uintptr_t)other->target);
	return compare((uintptr_t)one->extent, (uintptr_t)other->extent);
}

static void visits_sort(const struct numa_nodes *nodes, struct visit *visits, size_t count)
{
	for (size_t first = 0, next; first < count; first = next) {
		for (next = first + 1; next < count && next - first < ASKED_MOST; next++)
			if (visits[next].target != visits[first].target)
				break;
		lots_ask(nodes, &visits[first], next - first);
	}
	qsort(visits, count, sizeof(*visits), compare_visits);
}

/* ---- all of them: pass thread ---- */

/* On a host of one node nobody is moved. */
static const cpu_set_t *lot_cpus(const struct numa_nodes *nodes, size_t lot)
{
	const size_t node = lot % (nodes->count + 1);

	return nodes->count > 1 && node < nodes->count ? &nodes->nodes[node].cpus : NULL;
}

/* Into lots[], which has room for two for each node and one. Returns how many there are. */
static size_t lots_cut(const struct numa_nodes *nodes, const struct visit *visits, size_t count,
	struct crew_lot *lots)
{
	size_t lot_count = 0;

	for (size_t i = 0; i < count; i++) {
		if (!i || visits[i].lot != visits[i - 1].lot)
			lots[lot_count++] = (struct crew_lot){
				.first = i, .cpus = lot_cpus(nodes, visits[i].lot)
			};
		lots[lot_count - 1].count++;
	}
	return lot_count;
}

int round_run(struct core *core, struct visit *visits, size_t count, size_t room,
	size_t *ret_unread)
{
	const uint64_t charged_before = core->crew.scanners[0].charged_ns;
	struct round round = { .core = core, .visits = visits };
	_cleanup_free_ struct crew_lot *lots = NULL;

	lots = calloc(2 * (core->nodes.count + 1), sizeof(*lots));
	if (!lots)
		return -ENOMEM;
	if (core->nodes.count > 1)
		visits_sort(&core->nodes, visits, count);
	atomic_init(&round.room, room);
	crew_run_lots(&core->crew, crew_size(core->config.cpu_percent, crew_cpus()), lots,
		lots_cut(&core->nodes, visits, count, lots), round_work, &round);
	/* The first scanner is the pass thread's. */
	ledger_visits_here(core, core->crew.scanners[0].charged_ns - charged_before);
	*ret_unread = round.unread;
	return 0;
}
