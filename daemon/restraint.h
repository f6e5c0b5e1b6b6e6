/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What keeps folding back although nothing stands in its way: fold-when = pressure while there is no pressure, and
 * memory that would be missing if every fold broke. What is folded stays so.
 */
#ifndef PAGEFOLD_DAEMON_RESTRAINT_H
#define PAGEFOLD_DAEMON_RESTRAINT_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/exposure.h"

struct core;

struct restraint {
	bool pressed; /* the host is short of memory */
	enum exposure_level level;
	bool limited;           /* a burst may bring back so many pages: */
	uint64_t allowance_pages;
	const char *waiting; /* static: what the plan says of what must wait */
	char *reason;        /* why nothing may be folded; NULL: something may */
};

/* Once in a pass, when the books of all have been drawn up at least once: judges anew, by the host's memory of now and
 * the books as they are, and warns. Where the host cannot be read the last judgement stands. True: nothing could be
 * folded until now, and something can. */
bool restraint_look(struct core *core);

/* Nothing may be folded, and by the host's memory of now something could. Takes two short reads of /proc. */
bool restraint_lifts(const struct core *core);

/* As it was judged last. */
static inline bool restraint_holds_back(const struct restraint *restraint)
{
	return restraint->limited && !restraint->allowance_pages;
}

void restraint_done(struct restraint *restraint);

#endif
