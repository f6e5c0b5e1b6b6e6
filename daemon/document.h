/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A text that is made once and may be on its way to several clients at the same time, however
 * slowly they read: it is held once. Immutable, reference-counted, thread-safe.
 */
#ifndef PAGEFOLD_DAEMON_DOCUMENT_H
#define PAGEFOLD_DAEMON_DOCUMENT_H

#include <stdatomic.h>
#include <stddef.h>

struct document {
	atomic_int references;
	size_t length;
	char *text;
};

/* One reference. Takes text, which is from malloc(), also on failure. NULL: no memory. */
struct document *document_new(char *text, size_t length);
struct document *document_ref(struct document *document);
struct document *document_unref(struct document *document); /* NULL is fine; returns NULL */

#endif
