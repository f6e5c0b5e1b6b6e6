// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

/* A message with its level fits one write() below PIPE_BUF, so lines of several threads never mix.
 */
#define LINE_BYTES 2048

static int max_level = LOG_INFO;
static bool to_journal;
static atomic_bool has_error;

static const char *const level_words[] = {
	[LOG_EMERG] = "error",
	[LOG_ALERT] = "error",
	[LOG_CRIT] = "error",
	[LOG_ERR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

/* systemd names the stream it gave us in JOURNAL_STREAM; stderr may have been redirected since. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t device, inode;
	struct stat status;

	return stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
	       fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device &&
	       status.st_ino == inode;
}

void log_open(int level)
{
	max_level = level;
	to_journal = stderr_is_journal();
	atomic_store(&has_error, false);
}

bool log_has_error(void)
{
	return atomic_load(&has_error);
}

/* Names of VMs come from outside: no control byte of theirs reaches a terminal or begins a new
 * line. */
static void replace_control_bytes(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

void log_write(int level, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list arguments;
	size_t start, length;

	if (level > max_level || level < LOG_EMERG)
		return;
	if (level <= LOG_ERR)
		atomic_store(&has_error, true);
	if (to_journal)
		(void)snprintf(line, sizeof(line), "<%d>", level);
	else
		(void)snprintf(line, sizeof(line), "pagefoldd: %s: ", level_words[level]);
	start = strlen(line);
	va_start(arguments, format);
	(void)vsnprintf(line + start, sizeof(line) - 1 - start, format, arguments);
	va_end(arguments);
	replace_control_bytes(line + start);
	length = strlen(line);
	line[length++] = '\n';
	if (write(STDERR_FILENO, line, length) < 0)
		return; /* nowhere left to say it */
}
