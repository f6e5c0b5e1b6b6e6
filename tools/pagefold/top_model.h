/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `pagefold top` shows: the newest status document, the VMs of it in the order that was
 * chosen, and what changes per second, which is the difference to the document of the pass before.
 * Pure.
 */
#ifndef PAGEFOLD_CLI_TOP_MODEL_H
#define PAGEFOLD_CLI_TOP_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum top_column {
	TOP_NAME,
	TOP_GROUP,
	TOP_STATE,
	TOP_RESIDENT,
	TOP_RECLAIMED,
	TOP_POTENTIAL,
	TOP_BREAKS,
	TOP_CPU,
	TOP_COLUMNS,
};

struct top_row {
	const json_t *vm;         /* of the status */
	double breaks_per_second; /* NAN: not known, or not yet */
	double cpu_percent;       /* of one core; NAN likewise */
};

struct top_model {
	json_t *status, *before; /* owned; before NULL: no rates yet */
	struct top_row *rows;
	size_t row_count;
	double breaks_per_second, cpu_percent; /* of the host */
	enum top_column sort;
	bool reversed; /* else names ascend and numbers descend */
};

/* All zero is an empty model, sorted by name. */
void top_model_done(struct top_model *model);

/* Takes a status document, in every case. False: no memory; the model is as before. */
bool top_model_update(struct top_model *model, json_t *status);

void top_model_sort(struct top_model *model, enum top_column column, bool reversed);

/* Of the process with that pid; row_count: it is not there. */
size_t top_model_find(const struct top_model *model, pid_t pid);
pid_t top_row_pid(const struct top_row *row);

/* When the document's pass ended, in seconds since 1970; NAN: none has. */
double top_status_time(const json_t *status);

#endif
