// SPDX-License-Identifier: GPL-2.0-or-later
/* The hook that never gets hold of anything: plans are made and reported, not carried out. */
#include <errno.h>

#include "common/cleanup.h"
#include "hypervisor-glue/merge_hook.h"

/* It holds nothing, so one serves all. */
static struct merge_hook nothing = { .ops = &merge_hook_none };

static int none_attach(_unused_ const struct hook_context *context,
	_unused_ const struct process *process, struct merge_hook **ret,
	_unused_ char reason[HOOK_REASON_BYTES])
{
	*ret = &nothing;
	return 0;
}

static int none_advise(_unused_ struct merge_hook *hook, struct advice_request *requests,
	size_t count, _unused_ uint64_t deadline_ns)
{
	for (size_t i = 0; i < count; i++)
		requests[i].ret_result = -ENOTSUP;
	return 0;
}

static int none_cpu_ns(_unused_ struct merge_hook *hook, uint64_t *ret_ns)
{
	*ret_ns = 0;
	return 0;
}

static uint64_t none_helper_cpu_ns(_unused_ struct merge_hook *hook)
{
	return 0;
}

static void none_detach(_unused_ struct merge_hook *hook)
{
}

const struct merge_hook_ops merge_hook_none = {
	.name = "none",
	.attach = none_attach,
	.advise = none_advise,
	.cpu_ns = none_cpu_ns,
	.helper_cpu_ns = none_helper_cpu_ns,
	.detach = none_detach,
};
