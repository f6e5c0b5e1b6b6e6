/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INI files, read with inih, with what inih lacks: the line of every item, the first error as one
 * sentence, and a refusal of whatever inih would cut silently or take for something else (lines over
 * 199 bytes, section names over 49, indented lines, which it takes for a second value of the key above,
 * "key: value", text after a section's bracket, NUL and control bytes, a section or a key given twice).
 *
 * A comment starts with '#' or ';', at the start of a line or after a blank.
 */
#ifndef PAGEFOLD_DAEMON_INI_H
#define PAGEFOLD_DAEMON_INI_H

#include <stdio.h>

#define INI_REASON_BYTES 256

/* One thing that was read. Strings are valid during the call. */
struct ini_item {
	const char *file;
	unsigned line;
	const char *section; /* "" before the first section */
	const char *key;     /* NULL: the section begins here */
	const char *value;
};

/* 0, or -EINVAL with a sentence in reason (no file or line: these are added); reading then ends. */
typedef int (*ini_item_fn)(void *data, const struct ini_item *item, char reason[INI_REASON_BYTES]);

/* 0, or -EINVAL, -ENOMEM or the errno of reading; then *ret_error is one sentence that begins with
 * "FILE:LINE: " or "FILE: " and that the caller frees. */
int ini_read_stream(
	FILE *stream, const char *file, ini_item_fn item, void *data, char **ret_error);
int ini_read_file(const char *path, ini_item_fn item, void *data, char **ret_error);
/* Every *.conf in dir (no hidden ones), in byte order of the names; a missing dir has none. */
int ini_read_dir(const char *dir, ini_item_fn item, void *data, char **ret_error);

/* Fills *ret_error with "FILE:LINE: sentence" (line 0: "FILE: sentence") and returns error. */
int ini_error(char **ret_error, int error, const char *file, unsigned line, const char *sentence);

#endif
