/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Why there is no ring: one sentence that says what stands in the way and what would cure it. */
#ifndef PAGEFOLD_ATTACH_REFUSAL_H
#define PAGEFOLD_ATTACH_REFUSAL_H

#include "common/cleanup.h"
#include "hypervisor-glue/attach/attach_protocol.h"

struct refusal {
	char text[ATTACH_REASON_BYTES];
};

/* Returns error, so that a refusal is one statement. */
int refuse(struct refusal *refusal, int error, const char *format, ...) _printf_(3, 4);

#endif
