/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Foreign bytes as UTF-8. */
#ifndef PAGEFOLD_COMMON_UTF8_H
#define PAGEFOLD_COMMON_UTF8_H

#include <stddef.h>

/* U+FFFD, which stands for what cannot be shown. */
#define UTF8_REPLACEMENT "\xEF\xBF\xBD"

/* How many bytes of one well-formed character (RFC 3629: no overlong forms, no surrogates) text
 * begins with; 0: none, or the end. */
size_t utf8_length(const unsigned char *text);

#endif
