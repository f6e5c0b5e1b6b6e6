// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/api_internal.h"

#include <stdarg.h>
#include <string.h>

#include "daemon/json_text.h"

/* Twelve digits: 0.1 is written as 0.1. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(12))

struct api_reply api_reply_json(unsigned status, json_t *body)
{
	return (struct api_reply){ .status = status, .body = body };
}

struct api_reply api_reply_error(unsigned status, const char *format, ...)
{
	char sentence[512];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, arguments);
	va_end(arguments);
	return api_reply_json(
		status, json_pack("{si so}", "schema", API_SCHEMA, "error", json_text(sentence)));
}

struct api_reply api_reply_response(
	unsigned status, const char *content_type, struct MHD_Response *response)
{
	if (response && MHD_add_response_header(response, "Content-Type", content_type) == MHD_YES)
		return (struct api_reply){ .status = status, .response = response };
	if (response)
		MHD_destroy_response(response);
	return (struct api_reply){ .status = MHD_HTTP_INTERNAL_SERVER_ERROR };
}

static void on_sent(void *document)
{
	document_unref(document);
}

struct api_reply api_reply_document(struct document *document)
{
	struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
		document->length, document->text, on_sent, document);

	if (!response)
		document_unref(document);
	return api_reply_response(MHD_HTTP_OK, "application/json", response);
}

static char *dump(const json_t *body, size_t *ret_length)
{
	const size_t length = body ? json_dumpb(body, NULL, 0, DUMP_FLAGS) : 0;
	char *text = length > 0 ? malloc(length + 1) : NULL;

	if (!text)
		return NULL;
	(void)json_dumpb(body, text, length, DUMP_FLAGS);
	text[length] = '\n';
	*ret_length = length + 1;
	return text;
}

static struct MHD_Response *make_response(const struct api_reply *reply)
{
	static char no_memory[] = "{\"schema\":1,\"error\":\"The daemon is out of memory.\"}\n";
	struct MHD_Response *response;
	size_t length;
	char *text = dump(reply->body, &length);

	if (!text)
		return MHD_create_response_from_buffer(
			strlen(no_memory), no_memory, MHD_RESPMEM_PERSISTENT);
	response = MHD_create_response_from_buffer(length, text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(text);
	return response;
}

static enum MHD_Result send_json(struct MHD_Connection *connection, const struct api_reply *reply)
{
	struct MHD_Response *response = make_response(reply);
	const unsigned status = reply->body ? reply->status : MHD_HTTP_INTERNAL_SERVER_ERROR;
	enum MHD_Result result = MHD_NO;

	json_decref(reply->body);
	if (!response)
		return MHD_NO;
	if (MHD_add_response_header(response, "Content-Type", "application/json") == MHD_YES &&
		(!reply->allow[0] ||
			MHD_add_response_header(response, "Allow", reply->allow) == MHD_YES))
		result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

enum MHD_Result api_reply_send(struct MHD_Connection *connection, struct api_reply reply)
{
	enum MHD_Result result;

	if (!reply.response)
		return send_json(connection, &reply);
	result = MHD_queue_response(connection, reply.status, reply.response);
	MHD_destroy_response(reply.response);
	return result;
}
