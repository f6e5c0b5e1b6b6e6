/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What state a VM is in, in a word and a sentence, for whoever looks at `pagefold vms`. */
#ifndef PAGEFOLD_DAEMON_VM_STATE_H
#define PAGEFOLD_DAEMON_VM_STATE_H

#include "daemon/core.h"

/* Sets state and reason of a target by what the pass has found and done so far. */
void vm_state_judge(const struct core *core, struct target *target);

#endif
