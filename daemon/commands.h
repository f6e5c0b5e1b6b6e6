/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an operator asks for between two passes, carried out on the pass thread. */
#ifndef PAGEFOLD_DAEMON_COMMANDS_H
#define PAGEFOLD_DAEMON_COMMANDS_H

#include "daemon/api.h"
#include "daemon/core.h"

void commands_run(struct core *core, const struct api_request *request, struct api_outcome *ret);

#endif
