/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs that a plan is made for. Nobody has read them: what is in their extents the test says. */
#ifndef PAGEFOLD_TESTS_PLANNED_VMS_H
#define PAGEFOLD_TESTS_PLANNED_VMS_H

#include <stdlib.h>

#include "daemon/plan.h"
#include "tests/unit/made_memory.h"

/* What two extents share is content of this number and the ones that follow. */
#define SHARED 1000u

#define ROOM_ENOUGH 1000u

struct vms {
	struct extent_map maps[3];
	struct plan_vm vms[3];
	size_t count;
};

static inline int setup(void **state)
{
	*state = calloc(1, sizeof(struct vms));
	return *state ? 0 : -1;
}

static inline int teardown(void **state)
{
	struct vms *vms = *state;

	for (size_t i = 0; i < vms->count; i++)
		extent_map_done(&vms->maps[i]);
	free(vms);
	return 0;
}

static inline struct plan_vm *add_vm(struct vms *vms, size_t extents)
{
	static const char *const names[] = { "web1", "web2", "web3" };
	const size_t i = vms->count++;

	made_map_init(&vms->maps[i], extents);
	vms->vms[i] = (struct plan_vm){
		.name = names[i],
		.pid = (pid_t)(100 + i),
		.map = &vms->maps[i],
		.hugepages = HUGEPAGES_BALANCE,
		.fold = true,
		.vma_room = ROOM_ENOUGH,
	};
	return &vms->vms[i];
}

static inline struct extent *extent_of(struct vms *vms, size_t vm, size_t extent)
{
	return &vms->maps[vm].extents[extent];
}

static inline struct plan make_in_pass(struct vms *vms, uint64_t pass)
{
	struct extent_map *maps[3] = { &vms->maps[0], &vms->maps[1], &vms->maps[2] };
	struct plan plan;

	made_count(maps, vms->count);
	assert_int_equal(plan_make(vms->vms, vms->count, pass, &plan), 0);
	return plan;
}

static inline struct plan make(struct vms *vms)
{
	return make_in_pass(vms, 1);
}

/* How many entries; the plan is over with that. */
static inline size_t entries_of(struct vms *vms)
{
	struct plan plan = make(vms);
	const size_t count = plan.count;

	plan_done(&plan);
	return count;
}

/* Two VMs of one extent, with so many twins across. */
static inline void two_vms_sharing(struct vms *vms, unsigned pages)
{
	for (size_t i = 0; i < 2; i++) {
		(void)add_vm(vms, 1);
		made_pages(extent_of(vms, i, 0), (unsigned)(i * 100), pages, SHARED);
	}
}

/* Two that fold, and a third that is to be read a second time. */
static inline struct plan make_with_a_revisit(struct vms *vms)
{
	two_vms_sharing(vms, 100);
	(void)add_vm(vms, 1);
	made_pages(extent_of(vms, 2, 0), 0, 100, SHARED);
	extent_of(vms, 2, 0)->visits = 1;
	return make(vms);
}

#define PLAN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
