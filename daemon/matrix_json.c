// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Written piece by piece: as one tree of JSON values, which is ten times larger than its text, a
 * large matrix would take tens of megabytes.
 */
#include "daemon/matrix.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cleanup.h"
#include "daemon/json_text.h"

/* Takes the object. False: no memory. */
static bool write_object(FILE *stream, json_t *object, bool is_first)
{
	bool written = object && (is_first || fputc(',', stream) != EOF) &&
		       json_dumpf(object, stream, JSON_COMPACT) == 0;

	json_decref(object);
	return written;
}

static json_int_t page_bytes(uint64_t pages)
{
	return (json_int_t)(pages * PAGE_BYTES);
}

static json_t *count_json(const struct matrix_vm *vm, uint64_t value)
{
	return vm->sums.pages ? json_integer((json_int_t)value) : json_null();
}

/* From here on a line is a key and its value. */
// clang-format off

static json_t *vm_json(const struct matrix_vm *vm)
{
	const struct twin_sums *sums = &vm->sums;

	return json_pack("{so so si so so so so so so so so so}",
		"name", json_text(vm->name),
		"uuid", json_text(vm->uuid),
		"pid", (int)vm->pid,
		"group", json_text(vm->group),
		"pages_scanned", count_json(vm, sums->pages),
		"zero_pages", count_json(vm, sums->zero_pages),
		"duplicate_pages", count_json(vm, sums->duplicate_pages),
		"distinct_contents", count_json(vm, sums->distinct_contents),
		"saveable_bytes", count_json(vm, twin_sums_saveable_bytes(sums)),
		"zero_bytes", count_json(vm, sums->zero_pages * PAGE_BYTES),
		"self_bytes", count_json(vm, sums->self_bytes),
		"cross_bytes", count_json(vm, sums->cross_bytes));
}

static json_t *pair_json(const struct matrix *matrix, const struct matrix_pair *pair)
{
	const struct matrix_vm *a = &matrix->vms[pair->vms[0]], *b = &matrix->vms[pair->vms[1]];
	const struct twin_pair *common = &pair->common;

	return json_pack("{s[oo] s[ii] sI s[II] s[II]}",
		"names", json_text(a->name), json_text(b->name),
		"pids", (int)a->pid, (int)b->pid,
		"common_bytes", page_bytes(common->contents),
		"held_bytes", page_bytes(common->pages[0]),
		page_bytes(common->pages[1]),
		"cross_bytes", (json_int_t)common->cross_bytes[0], (json_int_t)common->cross_bytes[1]);
}

// clang-format on

static bool write_head(FILE *stream, const struct matrix *matrix)
{
	json_t *made_at = json_time(&matrix->made_at);
	const char *time = json_string_value(made_at);
	const bool written = fprintf(stream, "{\"schema\":1,\"pass\":%llu,\"made_at\":",
				     (unsigned long long)matrix->pass_number) > 0 &&
			     (time ? fprintf(stream, "\"%s\"", time) : fputs("null", stream)) >= 0;

	json_decref(made_at);
	return written;
}

static bool write_matrix(FILE *stream, const struct matrix *matrix)
{
	bool written = write_head(stream, matrix) && fputs(",\"vms\":[", stream) >= 0;

	for (size_t i = 0; written && i < matrix->vm_count; i++)
		written = write_object(stream, vm_json(&matrix->vms[i]), i == 0);
	written = written && fputs("],\"pairs\":[", stream) >= 0;
	for (size_t i = 0; written && i < matrix->pair_count; i++)
		written = write_object(stream, pair_json(matrix, &matrix->pairs[i]), i == 0);
	return written && fprintf(stream, "],\"pairs_omitted\":%zu}\n", matrix->pairs_omitted) > 0;
}

struct document *matrix_document(const struct matrix *matrix)
{
	size_t length = 0;
	char *text = NULL;
	FILE *stream = open_memstream(&text, &length);
	bool written;

	if (!stream)
		return NULL;
	written = write_matrix(stream, matrix);
	if (fclose(stream) != 0 || !written) {
		free(text);
		return NULL;
	}
	return document_new(text, length);
}
