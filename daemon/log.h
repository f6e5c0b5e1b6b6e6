/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's log: the journal where stderr is connected to it, else stderr with a level word. Only daemon/ logs. */
#ifndef PAGEFOLD_DAEMON_LOG_H
#define PAGEFOLD_DAEMON_LOG_H

#include <stdbool.h>
#include <syslog.h>

#include "common/cleanup.h"

void log_open(int max_level);
void log_write(int level, const char *format, ...) _printf_(2, 3);
/* Whether an error has been said since log_open(). */
bool log_has_error(void);

#define log_error(...)   log_write(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)  log_write(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)    log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...)   log_write(LOG_DEBUG, __VA_ARGS__)

#endif
