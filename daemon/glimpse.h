/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What to read first. Most of a guest's memory is its own, and reading it costs more than all else
 * that is done before the first burst. So of each extent that nobody has read yet an eighth is
 * looked at, and those that show no twins are put off: they are read, too, but only once nothing
 * that was found waits for its second visit or its burst. Then the books are complete.
 */
#ifndef PAGEFOLD_DAEMON_GLIMPSE_H
#define PAGEFOLD_DAEMON_GLIMPSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/core.h"

struct glimpse;

/* Those of one pass. */
struct glimpses {
	struct glimpse *all;
	size_t count;
};

/*
 * Looks at the extents that are due and have not been read, of targets that are to be folded; of
 * none where that would not pay. Within the CPU budget; an interrupt leaves some out, which are then
 * read as they come. 0 or -ENOMEM.
 */
int glimpses_take(struct core *core, uint64_t now_ns, struct glimpses *ret);
void glimpses_done(struct glimpses *glimpses);

/*
 * Puts off those that have next to nothing in common with each other, nor with what has been read by
 * now. What is read tells more: judged again after that, some of them are due after all. *ret_more:
 * so many have become due. 0 or -ENOMEM.
 */
int glimpses_judge(struct core *core, struct glimpses *glimpses, size_t *ret_more);

/* What was put off is due, if nothing else is waited for or it has waited long enough. */
void glimpses_redeem(struct core *core, uint64_t now_ns);
/* Some extent is still put off. */
bool glimpses_are_owed(const struct core *core);

#endif
