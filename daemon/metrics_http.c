// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metrics_http.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/metrics_text.h"

struct MHD_Response *metrics_response(struct MHD_Connection *connection,
	const struct snapshot *snapshot, const char **ret_content_type)
{
	const enum metrics_format format = metrics_format_choose(
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT));
	char *text = metrics_text(snapshot, format);
	struct MHD_Response *response;

	*ret_content_type = metrics_content_type(format);
	if (!text)
		return NULL;
	response = MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(text);
	return response;
}
