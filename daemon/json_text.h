/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What jansson has no words for: foreign bytes (names, paths), since it refuses what is not UTF-8, and
 * times. */
#ifndef PAGEFOLD_DAEMON_JSON_TEXT_H
#define PAGEFOLD_DAEMON_JSON_TEXT_H

#include <jansson.h>
#include <time.h>

/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD. NULL text: null. NULL: no memory. */
json_t *json_text(const char *text);

/* RFC 3339, in UTC, to the millisecond; null for a time that has no such name. NULL: no memory. */
json_t *json_time(const struct timespec *time);

#endif
