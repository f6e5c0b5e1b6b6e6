/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether all of a VM's memory is there: one that arrives by migration, or is restored from a file,
 * is left alone until it has. QEMU keeps -incoming on its command line for ever, so that says only
 * who is to be asked about.
 */
#ifndef PAGEFOLD_DAEMON_ARRIVAL_H
#define PAGEFOLD_DAEMON_ARRIVAL_H

#include <stdbool.h>

#include "daemon/core.h"

/* Looks for what shows that it has arrived, until something does. Pass thread. */
bool arrival_is_over(struct core *core, struct target *target);

/* Why it is left alone, for `status`; NULL: it is not. */
const char *arrival_text(const struct target *target);

#endif
