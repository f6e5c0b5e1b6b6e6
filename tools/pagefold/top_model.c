// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/top_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"

void top_model_done(struct top_model *model)
{
	json_decref(model->status);
	json_decref(model->before);
	free(model->rows);
	*model = (struct top_model){ 0 };
}

static double number_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : NAN;
}

double top_status_time(const json_t *status)
{
	const char *text =
		json_string_value(json_object_get(json_object_get(status, "pass"), "finished_at"));
	struct tm time = { 0 };
	double seconds;
	char zone;

	if (!text ||
		sscanf(text, "%4d-%2d-%2dT%2d:%2d:%lf%c", &time.tm_year, &time.tm_mon,
			&time.tm_mday, &time.tm_hour, &time.tm_min, &seconds, &zone) != 7 ||
		zone != 'Z')
		return NAN;
	time.tm_year -= 1900;
	time.tm_mon -= 1;
	return (double)timegm(&time) + seconds;
}

pid_t top_row_pid(const struct top_row *row)
{
	return (pid_t)json_integer_value(json_object_get(row->vm, "pid"));
}

static const char *name_of(const json_t *vm)
{
	const char *name = json_string_value(json_object_get(vm, "name"));

	return name ? name : "";
}

/* ---- what changes ---- */

/* A counter that fell has begun anew. */
static double rate_of(double before, double now, double seconds)
{
	return now >= before && seconds > 0 ? (now - before) / seconds : NAN;
}

static double cpu_seconds(const json_t *status)
{
	const json_t *cost = json_object_get(status, "cost");

	return number_of(cost, "scan_cpu_seconds") + number_of(cost, "ksmd_cpu_seconds") +
	       number_of(cost, "ring_cpu_seconds") + number_of(cost, "helper_cpu_seconds");
}

static int compare_pids(const void *left, const void *right)
{
	const struct top_row *a = left, *b = right;
	const pid_t one = top_row_pid(a), other = top_row_pid(b);

	return one < other ? -1 : one > other;
}

/* NULL: no memory. */
static struct top_row *rows_of(const json_t *status, size_t *ret_count)
{
	const json_t *vms = json_object_get(status, "vms");
	const size_t count = json_array_size(vms);
	struct top_row *rows = calloc(count + 1, sizeof(*rows));

	for (size_t i = 0; rows && i < count; i++)
		rows[i] = (struct top_row){ json_array_get(vms, i), NAN, NAN };
	*ret_count = count;
	return rows;
}

static bool is_same_vm(const json_t *one, const json_t *other)
{
	return strcmp(name_of(one), name_of(other)) == 0 &&
	       json_equal(json_object_get(one, "uuid"), json_object_get(other, "uuid"));
}

static bool fill_rates(struct top_model *model)
{
	const double seconds = top_status_time(model->status) - top_status_time(model->before);
	_cleanup_free_ struct top_row *old = NULL;
	size_t count;

	model->breaks_per_second = model->cpu_percent = NAN;
	if (!model->before)
		return true;
	old = rows_of(model->before, &count);
	if (!old)
		return false;
	qsort(old, count, sizeof(*old), compare_pids);
	for (size_t i = 0; i < model->row_count; i++) {
		struct top_row *row = &model->rows[i];
		const struct top_row *was = bsearch(row, old, count, sizeof(*old), compare_pids);

		if (!was || !is_same_vm(was->vm, row->vm))
			continue;
		row->breaks_per_second = rate_of(number_of(was->vm, "cow_breaks_estimate"),
			number_of(row->vm, "cow_breaks_estimate"), seconds);
		row->cpu_percent = 100 * rate_of(number_of(was->vm, "cpu_seconds"),
						 number_of(row->vm, "cpu_seconds"), seconds);
	}
	model->breaks_per_second =
		rate_of(number_of(json_object_get(model->before, "cost"), "cow_breaks"),
			number_of(json_object_get(model->status, "cost"), "cow_breaks"), seconds);
	model->cpu_percent =
		100 * rate_of(cpu_seconds(model->before), cpu_seconds(model->status), seconds);
	return true;
}

/* ---- order ---- */

static double sort_number(const struct top_row *row, enum top_column column)
{
	switch (column) {
	case TOP_RESIDENT:
		return number_of(row->vm, "resident_bytes");
	case TOP_RECLAIMED:
		return number_of(row->vm, "reclaimed_bytes");
	case TOP_POTENTIAL:
		return number_of(row->vm, "potential_bytes");
	case TOP_BREAKS:
		return row->breaks_per_second;
	case TOP_CPU:
		return row->cpu_percent;
	case TOP_NAME:
	case TOP_GROUP:
	case TOP_STATE:
	case TOP_COLUMNS:
		break;
	}
	return NAN;
}

static int compare_texts(const struct top_row *a, const struct top_row *b, const char *key)
{
	const char *one = json_string_value(json_object_get(a->vm, key));
	const char *other = json_string_value(json_object_get(b->vm, key));

	return strcmp(one ? one : "", other ? other : "");
}

/* What is not known comes last in either direction. */
static int compare_numbers(double one, double other, bool reversed)
{
	if (isnan(one) || isnan(other))
		return (isnan(one) != 0) - (isnan(other) != 0);
	if (one == other)
		return 0;
	return (one < other) != reversed ? 1 : -1;
}

static int compare_rows(const void *left, const void *right, void *data)
{
	const struct top_row *a = left, *b = right;
	const struct top_model *model = data;
	int r;

	if (model->sort >= TOP_RESIDENT)
		r = compare_numbers(
			sort_number(a, model->sort), sort_number(b, model->sort), model->reversed);
	else
		r = compare_texts(a, b,
			    model->sort == TOP_GROUP   ? "group"
			    : model->sort == TOP_STATE ? "state"
						       : "name") *
		    (model->reversed ? -1 : 1);
	if (r == 0)
		r = compare_texts(a, b, "name");
	return r ? r : compare_pids(a, b);
}

void top_model_sort(struct top_model *model, enum top_column column, bool reversed)
{
	model->sort = column;
	model->reversed = reversed;
	if (model->row_count > 1)
		qsort_r(model->rows, model->row_count, sizeof(*model->rows), compare_rows, model);
}

size_t top_model_find(const struct top_model *model, pid_t pid)
{
	size_t i = 0;

	while (i < model->row_count && top_row_pid(&model->rows[i]) != pid)
		i++;
	return i;
}

/* Between two passes the daemon answers with the same document: the rates stay those of the two
 * passes. */
static json_t *document_before(const struct top_model *model, const json_t *status)
{
	if (!model->status)
		return NULL;
	return top_status_time(status) == top_status_time(model->status) ? model->before
									 : model->status;
}

bool top_model_update(struct top_model *model, json_t *status)
{
	struct top_model next = {
		.status = status,
		.before = json_incref(document_before(model, status)),
		.sort = model->sort,
		.reversed = model->reversed,
	};

	next.rows = rows_of(status, &next.row_count);
	if (!next.rows || !fill_rates(&next)) {
		top_model_done(&next);
		return false;
	}
	top_model_done(model);
	*model = next;
	top_model_sort(model, model->sort, model->reversed);
	return true;
}
