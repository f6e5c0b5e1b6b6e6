/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Metrics as the answer to an HTTP request, wherever that came from. */
#ifndef PAGEFOLD_DAEMON_METRICS_HTTP_H
#define PAGEFOLD_DAEMON_METRICS_HTTP_H

#include <microhttpd.h>

#include "daemon/snapshot.h"

/* In the format that the request's Accept header asks for; *ret_content_type is static. The response
 * is the caller's; NULL: no memory. */
struct MHD_Response *metrics_response(struct MHD_Connection *connection,
	const struct snapshot *snapshot, const char **ret_content_type);

#endif
