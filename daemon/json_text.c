// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/json_text.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/utf8.h"

json_t *json_text(const char *text)
{
	static const char replacement[] = UTF8_REPLACEMENT;
	const size_t room = sizeof(replacement) - 1; /* for one byte of text */
	_cleanup_free_ char *clean = NULL;
	const unsigned char *from = (const unsigned char *)text;
	size_t length = 0;

	if (!text)
		return json_null();
	clean = malloc(strlen(text) * room + 1);
	if (!clean)
		return NULL;
	while (*from) {
		const size_t good = utf8_length(from);
		const void *source = good ? (const void *)from : replacement;
		const size_t bytes = good ? good : room;

		memcpy(clean + length, source, bytes);
		length += bytes;
		from += good ? good : 1;
	}
	return json_stringn(clean, length);
}

json_t *json_time(const struct timespec *time)
{
	char text[sizeof("-2147483648-12-31T23:59:59")];
	struct tm utc;

	if (!gmtime_r(&time->tv_sec, &utc) ||
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc) == 0)
		return json_null();
	/* With milliseconds: what changes per second is the difference of two passes that may be a
	 * second apart. */
	return json_sprintf("%s.%03ldZ", text, time->tv_nsec / 1000000);
}
