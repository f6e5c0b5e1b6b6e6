// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/json_text.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

/* How many bytes of well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates) text begins
 * with. */
static size_t utf8_length(const unsigned char *text)
{
	static const struct {
		unsigned char first_min, first_max, second_min, second_max;
		size_t length;
	} forms[] = {
		{ 0x01, 0x7f, 0x00, 0xff, 1 },
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (text[0] < forms[i].first_min || text[0] > forms[i].first_max)
			continue;
		if (forms[i].length > 1 &&
			(text[1] < forms[i].second_min || text[1] > forms[i].second_max))
			return 0;
		for (size_t k = 2; k < forms[i].length; k++)
			if ((text[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

json_t *json_text(const char *text)
{
	static const char replacement[] = "\xEF\xBF\xBD"; /* U+FFFD */
	const size_t room = 3;                            /* its bytes, for one of text */
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
