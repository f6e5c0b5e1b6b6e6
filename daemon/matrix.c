// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/matrix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/electorate.h"
#include "daemon/groups.h"

static int vm_fill(
	const struct target *target, const struct twin_owner *owner, struct matrix_vm *vm)
{
	vm->pid = target_pid(target);
	memcpy(vm->group, target->policy.group, sizeof(vm->group));
	vm->sums = owner->ret_sums;
	vm->name = strdup(target_name(target));
	if (target->guest.vmm.cmdline.uuid[0])
		vm->uuid = strdup(target->guest.vmm.cmdline.uuid);
	return vm->name ? 0 : -ENOMEM;
}

static int vms_add(struct matrix *matrix, const struct electorate *electorate)
{
	int error = 0;

	for (size_t i = 0; !error && i < electorate->count; i++) {
		struct matrix_vm *vm = &matrix->vms[matrix->vm_count++];

		*vm = (struct matrix_vm){ 0 };
		error = vm_fill(electorate->targets[i], &electorate->owners[i], vm);
	}
	return error;
}

/* first_vm: where those of the pairs begin among the matrix's. */
static int pairs_add(struct matrix *matrix, const struct twin_pairs *pairs, size_t first_vm)
{
	const size_t owners = pairs->owner_count;
	const size_t most = matrix->pair_count + (owners ? owners * (owners - 1) / 2 : 0);
	struct matrix_pair *list = reallocarray(matrix->pairs, most + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	matrix->pairs = list;
	for (size_t j = 1; j < owners; j++)
		for (size_t i = 0; i < j; i++) {
			const struct twin_pair *common = twin_pairs_get(pairs, i, j);

			if (common->contents)
				list[matrix->pair_count++] = (struct matrix_pair){
					.vms = { (uint32_t)(first_vm + i),
						(uint32_t)(first_vm + j) },
					.common = *common,
				};
		}
	return 0;
}

static int group_add(const struct core *core, const char *group, struct matrix *matrix)
{
	_cleanup_(electorate_done) struct electorate electorate = { 0 };
	_cleanup_(twin_pairs_done) struct twin_pairs pairs = { 0 };
	const struct twin_index_options options = { .pairs = &pairs };
	const size_t first_vm = matrix->vm_count;
	struct twin_sums total;
	int error = electorate_init(&electorate, core, group, false);

	if (!error)
		error = twin_pairs_init(&pairs, electorate.count);
	if (!error)
		error = twin_index_count(electorate.owners, electorate.count, &options, &total);
	if (!error)
		error = vms_add(matrix, &electorate);
	if (!error)
		error = pairs_add(matrix, &pairs, first_vm);
	return error;
}

/* By what they save, most first; then as they come, so that the same index gives the same list. */
static int pair_compare(const void *left, const void *right)
{
	const struct matrix_pair *a = left, *b = right;
	const uint64_t saves_a = a->common.cross_bytes[0] + a->common.cross_bytes[1];
	const uint64_t saves_b = b->common.cross_bytes[0] + b->common.cross_bytes[1];

	if (saves_a != saves_b)
		return saves_a > saves_b ? -1 : 1;
	if (a->vms[0] != b->vms[0])
		return a->vms[0] < b->vms[0] ? -1 : 1;
	return a->vms[1] < b->vms[1] ? -1 : a->vms[1] > b->vms[1];
}

int matrix_make(const struct core *core, struct matrix *ret)
{
	_cleanup_(matrix_done) struct matrix matrix = {
		.pass_number = core->pass_number,
		.vms = calloc(core->registry.count + 1, sizeof(*matrix.vms)),
	};
	int error = matrix.vms ? 0 : -ENOMEM;

	for (size_t i = 0; !error && i < core->registry.count; i++)
		if (is_group_leader(core, i))
			error = group_add(core, core->registry.targets[i]->policy.group, &matrix);
	if (error)
		return error;
	if (matrix.pair_count)
		qsort(matrix.pairs, matrix.pair_count, sizeof(*matrix.pairs), pair_compare);
	if (matrix.pair_count > MATRIX_PAIRS_MOST) {
		matrix.pairs_omitted = matrix.pair_count - MATRIX_PAIRS_MOST;
		matrix.pair_count = MATRIX_PAIRS_MOST;
	}
	(void)clock_gettime(CLOCK_REALTIME, &matrix.made_at);
	*ret = matrix;
	matrix = (struct matrix){ 0 };
	return 0;
}

void matrix_done(struct matrix *matrix)
{
	for (size_t i = 0; i < matrix->vm_count; i++) {
		free(matrix->vms[i].name);
		free(matrix->vms[i].uuid);
	}
	free(matrix->vms);
	free(matrix->pairs);
	*matrix = (struct matrix){ 0 };
}
