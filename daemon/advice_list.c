// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/advice_list.h"

#include <errno.h>
#include <stdlib.h>

#define LEAST 64

static int list_grow(struct advice_list *list)
{
	const size_t room = list->room ? list->room * 2 : LEAST;
	struct advice_request *requests =
		reallocarray(list->requests, room, sizeof(*requests));

	if (!requests)
		return -ENOMEM;
	list->requests = requests;
	list->room = room;
	return 0;
}

int advice_list_add(struct advice_list *list, uint64_t start, uint64_t end, enum advice advice)
{
	struct advice_request *last = list->count ? &list->requests[list->count - 1] : NULL;

	if (last && last->advice == advice && last->start + last->length == start) {
		last->length += end - start;
		return 0;
	}
	if (list->count == list->room && list_grow(list) < 0)
		return -ENOMEM;
	list->requests[list->count++] =
		(struct advice_request){ start, end - start, advice, 0 };
	return 0;
}

void advice_list_done(struct advice_list *list)
{
	free(list->requests);
	*list = (struct advice_list){ 0 };
}
