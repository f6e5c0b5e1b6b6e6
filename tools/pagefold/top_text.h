/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What `pagefold top` shows, as lines of text: the same on a screen and in a pipe. Lines fit the
 * width, in columns of the terminal; no control character and nothing that the locale cannot show
 * is in them.
 */
#ifndef PAGEFOLD_CLI_TOP_TEXT_H
#define PAGEFOLD_CLI_TOP_TEXT_H

#include <stdio.h>

#include "tools/pagefold/top_model.h"

/* The narrowest that is worth looking at: the columns, and eight characters of a name. */
#define TOP_WIDTH_MIN 72

/* "RECLAIMED" */
const char *top_column_heading(enum top_column column);

/* Writes text, which may be foreign, cut to width columns; the rest is filled with blanks, on the
 * left if right. */
void top_put(FILE *out, const char *text, int width, bool right);

/* Lines without their ends. */
#define TOP_HEADER_LINES 4
void top_header_line(FILE *out, const struct top_model *model, int line, double now, int width);
/* What the operator should know before all else: a pause, what blocks, a warning. */
void top_problem_line(FILE *out, const struct top_model *model, int width);
void top_headings_line(FILE *out, int width);
void top_row_line(FILE *out, const struct top_row *row, int width);

#endif
