/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's life: starts the API and the pass thread, and listens to signals, systemd's watchdog and
 * what both have to say, until it is told to end. The main thread's event loop; it never blocks. */
#ifndef PAGEFOLD_DAEMON_SERVICE_H
#define PAGEFOLD_DAEMON_SERVICE_H

#include "daemon/options.h"

/* 0 after an orderly end, -errno where it could not start or go on (the reason is in the log). */
int service_run(const struct options *options);

#endif
