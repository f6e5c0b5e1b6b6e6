/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests for a hook as they come up, neighbours that need the same in one. */
#ifndef PAGEFOLD_DAEMON_ADVICE_LIST_H
#define PAGEFOLD_DAEMON_ADVICE_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "hypervisor-glue/merge_hook.h"

/* All 0: empty; ends with advice_list_done(). */
struct advice_list {
	struct advice_request *requests;
	size_t count, room;
};

/* For [start, end). 0 or -ENOMEM. */
int advice_list_add(struct advice_list *list, uint64_t start, uint64_t end, enum advice advice);
void advice_list_done(struct advice_list *list);

#endif
