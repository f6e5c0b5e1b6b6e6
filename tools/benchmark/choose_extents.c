// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The planner's choice of extents beside the best greedy ones, for each policy about huge pages, on
 * the memory of real processes or on simulated memory; merges nothing. One JSON object.
 *
 *     choose_extents PID... | choose_extents
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/census.h"
#include "daemon/plan.h"
#include "daemon/scan.h"
#include "tools/benchmark/greedy.h"
#include "tools/benchmark/simulated_host.h"

#define CURVE_POINTS 20u

/* Four VMs of 1 GiB, a third of it without huge pages. */
static const struct simulated_host simulated = {
	.vm_count = 4,
	.vm_extents = 512,
	.plain_one_in = 3,
};

static int target_read(const struct host_root *root, struct target *target, struct scanner *scanner)
{
	struct guest *guest = &target->guest;
	int error = guest_map(root, guest);

	for (size_t e = 0; !error && e < guest->map.count; e++) {
		const struct scan_source source = {
			.root = root,
			.process = &guest->process,
			.pagemap = &guest->pagemap,
			.trust = TRUST_HUGE,
		};

		error = scan_extent(scanner, &source, &guest->map.extents[e]);
		guest->map.extents[e].visits = 2;
	}
	target->policy.mode = MODE_MERGE;
	target->present = target->mapped = !error;
	return error;
}

static int processes_read(struct core *core, char **pids, size_t count)
{
	_cleanup_(scanner_done) struct scanner scanner = { 0 };
	int error = host_root_open("", &core->root);

	if (!error)
		error = scanner_init(&scanner);
	core->registry.targets = calloc(count, sizeof(struct target *));
	for (size_t i = 0; !error && i < count; i++) {
		struct target **target = &core->registry.targets[i];

		error = target_new(&core->root, (pid_t)strtol(pids[i], NULL, 10), true, target);
		core->registry.count += !error;
		if (!error)
			error = target_read(&core->root, *target, &scanner);
	}
	return error;
}

static void curve_print(struct greedy *greedy)
{
	const struct greedy_budget all = greedy_budget_all(greedy), none = { 0, all.plain };
	const size_t points = all.huge < CURVE_POINTS ? all.huge : CURVE_POINTS;
	_cleanup_free_ uint64_t *curve = calloc(all.huge + 1, sizeof(*curve));

	if (!curve)
		return;
	(void)greedy_downwards(greedy, none, curve);
	printf("[");
	for (size_t point = 0; point <= points; point++) {
		const size_t broken = points ? all.huge * point / points : 0;

		printf("%s[%zu, %llu]", point ? ", " : "", broken,
			(unsigned long long)curve[broken]);
	}
	printf("]");
}

static int policy_print(const struct plan_vm *vms, size_t count)
{
	struct greedy *greedy;
	struct greedy_budget cost, budget;
	struct plan plan;

	if (plan_make(vms, count, 0, &plan) < 0)
		return -ENOMEM;
	greedy = greedy_new(vms, count);
	if (!greedy) {
		plan_done(&plan);
		return -ENOMEM;
	}
	cost = greedy_cost(&plan);
	/* Extents without a huge page cost none: the greedy choices may have all of them. */
	budget = (struct greedy_budget){ cost.huge, greedy_budget_all(greedy).plain };
	printf("{\"huge_pages\": %zu, \"other_extents\": %zu, \"saved_pages\": %llu, ", cost.huge,
		cost.plain, (unsigned long long)greedy_value(greedy, &plan));
	printf("\"greedy_upwards_pages\": %llu, ", (unsigned long long)greedy_upwards(greedy, budget));
	printf("\"greedy_downwards_pages\": %llu, \"curve\": ",
		(unsigned long long)greedy_downwards(greedy, budget, NULL));
	curve_print(greedy);
	printf("}");
	(void)greedy_free(greedy);
	plan_done(&plan);
	return 0;
}

static int policies_print(struct core *core)
{
	static const struct {
		const char *name;
		enum policy_hugepages hugepages;
	} policies[] = {
		{ "keep", HUGEPAGES_KEEP },
		{ "balance", HUGEPAGES_BALANCE },
		{ "fold", HUGEPAGES_FOLD },
	};
	const size_t count = core->registry.count;
	_cleanup_free_ struct plan_vm *vms = calloc(count + 1, sizeof(*vms));
	int error = vms ? 0 : -ENOMEM;

	for (size_t p = 0; !error && p < ARRAY_SIZE(policies); p++) {
		error = census_take(core);
		for (size_t i = 0; i < count; i++)
			vms[i] = (struct plan_vm){
				.name = target_name(core->registry.targets[i]),
				.pid = target_pid(core->registry.targets[i]),
				.map = &core->registry.targets[i]->guest.map,
				.hugepages = policies[p].hugepages,
				.fold = true,
				.vma_room = UINT64_MAX,
			};
		printf("%s\"%s\": ", p ? ", " : "{", policies[p].name);
		if (!error)
			error = policy_print(vms, count);
	}
	printf("}\n");
	return error;
}

int main(int argc, char **argv)
{
	static struct simulated_host host;
	int error = 0;

	host = simulated;
	if (argc > 1)
		error = processes_read(&host.core, argv + 1, (size_t)argc - 1);
	else
		simulated_host_lay_out(&host);
	if (!error)
		error = policies_print(&host.core);
	if (error)
		(void)fprintf(stderr, "choose_extents: %s\n", strerror(-error));
	return error ? 1 : 0;
}
