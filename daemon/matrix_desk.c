// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/matrix_desk.h"

#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/matrix.h"
#include "daemon/target.h"

/* One that took a millisecond is handed out for a tenth of a second. */
#define FRESH_FACTOR 100

void matrix_desk_init(struct matrix_desk *desk)
{
	*desk = (struct matrix_desk){ 0 };
	pthread_mutex_init(&desk->lock, NULL);
}

void matrix_desk_done(struct matrix_desk *desk)
{
	desk->newest = document_unref(desk->newest);
	pthread_mutex_destroy(&desk->lock);
}

struct document *matrix_desk_fresh(struct matrix_desk *desk)
{
	struct document *document = NULL;

	pthread_mutex_lock(&desk->lock);
	if (desk->newest && clock_monotonic_ns() < desk->fresh_until_ns)
		document = document_ref(desk->newest);
	pthread_mutex_unlock(&desk->lock);
	return document;
}

static void desk_keep(struct matrix_desk *desk, struct document *document, uint64_t cost_ns)
{
	struct document *old;

	pthread_mutex_lock(&desk->lock);
	old = desk->newest;
	desk->newest = document_ref(document);
	desk->fresh_until_ns = clock_monotonic_ns() + cost_ns * FRESH_FACTOR;
	pthread_mutex_unlock(&desk->lock);
	document_unref(old);
}

static int desk_make(const struct core *core, struct document **ret)
{
	struct matrix matrix;
	int error = matrix_make(core, &matrix);

	if (error)
		return error;
	*ret = matrix_document(&matrix);
	matrix_done(&matrix);
	return *ret ? 0 : -ENOMEM;
}

void matrix_desk_answer(struct matrix_desk *desk, const struct core *core, struct api_outcome *ret)
{
	const uint64_t started_ns = clock_thread_cpu_ns();

	*ret = (struct api_outcome){ .document = matrix_desk_fresh(desk) };
	if (ret->document)
		return;
	ret->error = desk_make(core, &ret->document);
	if (!ret->error)
		desk_keep(desk, ret->document, clock_thread_cpu_ns() - started_ns);
	else if (ret->error == -E2BIG)
		text_set(&ret->message,
			"a group has more VMs than the %u of which a matrix is made",
			TWIN_PAIRS_OWNERS_MOST);
}
