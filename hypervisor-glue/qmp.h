/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QEMU's monitor protocol (docs/interop/qmp-spec): one command, one reply. A socket of QEMU's own serves
 * one client at a time, so we come, ask and go; whoever is there already has precedence. What it says is a
 * VMM's word: hostile text.
 */
#ifndef PAGEFOLD_GLUE_QMP_H
#define PAGEFOLD_GLUE_QMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define QMP_REASON_BYTES 256

/* What a line of QMP is. */
enum qmp_line {
	QMP_LINE_BROKEN, /* no JSON object, or none of the others */
	QMP_LINE_GREETING,
	QMP_LINE_EVENT,
	QMP_LINE_REPLY, /* "return" or "error" */
};

enum qmp_line qmp_line_kind(const char *text, size_t length);

/*
 * Sends the command (one line of JSON) to the socket that the process pid itself listens at, and waits for
 * the reply: a line in memory the caller frees, which may be an error. -EBUSY: somebody else uses the
 * socket. -EPERM: another process listens there. -ETIMEDOUT: no reply by the deadline (CLOCK_MONOTONIC); the
 * command may still be carried out. -EPROTO, -errno. On failure one sentence in reason.
 */
int qmp_execute(const char *socket_path, pid_t pid, const char *command, uint64_t deadline_ns,
	char **ret_reply, char reason[QMP_REASON_BYTES]);

/* Whether the reply to query-status says that the VM still waits for an incoming migration to end. Errors as
 * qmp_reply_parse(). */
int qmp_status_parse(
	const char *text, size_t length, bool *ret_incoming, char reason[QMP_REASON_BYTES]);

/* {"execute":name,"arguments":arguments}, in memory the caller frees; takes over arguments (NULL: none).
 * NULL: no memory. */
char *qmp_command(const char *name, json_t *arguments);

/* The "return" of a reply, the caller's to json_decref(). An error of QEMU's is -EREMOTEIO and its words in
 * reason, -EPROTO is no reply at all. */
int qmp_reply_parse(
	const char *text, size_t length, json_t **ret_value, char reason[QMP_REASON_BYTES]);

#endif
