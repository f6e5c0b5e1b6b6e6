/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the matrix is asked for. It takes a count of everything, so it is made when somebody asks,
 * and a made one is handed out again for so long that making them takes at most a hundredth of a
 * core, however many ask how often.
 */
#ifndef PAGEFOLD_DAEMON_MATRIX_DESK_H
#define PAGEFOLD_DAEMON_MATRIX_DESK_H

#include <pthread.h>
#include <stdint.h>

#include "daemon/api.h"
#include "daemon/core.h"

struct matrix_desk {
	pthread_mutex_t lock;    /* for all below */
	struct document *newest; /* NULL: none yet */
	uint64_t fresh_until_ns;
};

void matrix_desk_init(struct matrix_desk *desk);
void matrix_desk_done(struct matrix_desk *desk);

/* A reference to one that is fresh enough; NULL: one has to be made. Any thread. */
struct document *matrix_desk_fresh(struct matrix_desk *desk);

/* The pass thread's answer, between two steps of a pass: a fresh one, or one that it makes now. */
void matrix_desk_answer(struct matrix_desk *desk, const struct core *core, struct api_outcome *ret);

#endif
