/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Foreign bytes (names, paths) as JSON: jansson refuses what is not UTF-8. */
#ifndef PAGEFOLD_DAEMON_JSON_TEXT_H
#define PAGEFOLD_DAEMON_JSON_TEXT_H

#include <jansson.h>

/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD. NULL text: null. NULL: no memory. */
json_t *json_text(const char *text);

#endif
