/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether what is planned is worth a burst of its own, or waits for more. */
#ifndef PAGEFOLD_DAEMON_BATCH_H
#define PAGEFOLD_DAEMON_BATCH_H

#include <stdbool.h>

struct core;

/* For each plan: is it to be folded now? What is not waits from here on, for more or for its time. */
bool batch_is_worth_a_burst(struct core *core);

/* The plan waits for more, and nothing is to be done for it: false from when it has waited long enough. */
bool batch_waits(const struct core *core);

#endif
