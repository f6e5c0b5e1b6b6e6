// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/document.h"

#include <stdlib.h>

struct document *document_new(char *text, size_t length)
{
	struct document *document = malloc(sizeof(*document));

	if (!document) {
		free(text);
		return NULL;
	}
	atomic_init(&document->references, 1);
	document->length = length;
	document->text = text;
	return document;
}

struct document *document_ref(struct document *document)
{
	(void)atomic_fetch_add(&document->references, 1);
	return document;
}

struct document *document_unref(struct document *document)
{
	if (document && atomic_fetch_sub(&document->references, 1) == 1) {
		free(document->text);
		free(document);
	}
	return NULL;
}
