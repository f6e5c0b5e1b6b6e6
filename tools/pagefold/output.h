/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For eyes: aligned tables, MiB with one decimal, "-" for what was not measured. Names of VMs come from
 * outside, so no control byte of any text reaches the terminal.
 */
#ifndef PAGEFOLD_CLI_OUTPUT_H
#define PAGEFOLD_CLI_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* Text as it may be printed (control characters and bidirectional overrides become '?'); NULL is "-". */
void output_text(FILE *stream, const char *text);
void output_json(const json_t *json);
void output_json_line(const json_t *json); /* on one line, for streams of them */

/* The longest cell that a table shows whole. */
#define OUTPUT_CELL_BYTES 128

struct output_cell {
	char text[OUTPUT_CELL_BYTES];
};

struct output_cell output_string(const json_t *value);
struct output_cell output_integer(const json_t *value);
struct output_cell output_mib(const json_t *bytes);
struct output_cell output_seconds(const json_t *seconds);
struct output_cell output_short_seconds(const json_t *seconds); /* to a tenth of a millisecond */
struct output_cell output_error_percent(const json_t *percent); /* always with its sign */

struct output_cell output_address(const json_t *value); /* hexadecimal */
struct output_cell output_yes_or_no(const json_t *value);

#define OUTPUT_COLUMNS_MAX 16

/* A column of a table shows one member of each row's object. */
struct output_column {
	const char *heading;
	bool right; /* aligned to the right */
	const char *key;
	struct output_cell (*cell)(const json_t *value);
};

void output_table(const struct output_column columns[], size_t count, const json_t *rows);

#endif
