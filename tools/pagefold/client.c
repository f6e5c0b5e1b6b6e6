// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "common/cleanup.h"
#include "tools/pagefold/output.h"

/* The daemon answers from what it has in memory; this long means that it hangs. */
#define GET_TIMEOUT_S 60L

struct answer {
	char *bytes;
	size_t length;
	FILE *stream;
};

static size_t on_bytes(char *bytes, size_t one, size_t count, void *stream)
{
	return fwrite(bytes, one, count, stream);
}

/* libcurl keeps the reason to itself. */
static int why_no_connection(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return errno;
	if (strlen(path) >= sizeof(address.sun_path))
		return ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	return connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
}

static void say_unreachable(const char *path, FILE *complaints)
{
	const int error = why_no_connection(path);

	fprintf(complaints, "pagefold: the daemon is not reachable at %s: ", path);
	switch (error) {
	case ENOENT:
		fputs("there is no such socket. Is pagefoldd running? "
		      "(systemctl status pagefoldd; --socket names another place)\n",
			complaints);
		break;
	case ECONNREFUSED:
		fputs("nobody listens there any more. Start pagefoldd again "
		      "(systemctl restart pagefoldd)\n",
			complaints);
		break;
	case EACCES:
	case EPERM:
		fputs("permission denied. Reading is for root and the group pagefold\n",
			complaints);
		break;
	default:
		fprintf(complaints, "%s\n", error ? strerror(error) : "it hung up");
	}
}

static enum cli_exit transfer_failed(const struct client_question *question, CURLcode code)
{
	const char *socket_path = question->cli->socket;
	FILE *complaints = question->complaints;

	if (code == CURLE_COULDNT_CONNECT)
		say_unreachable(socket_path, complaints);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		fprintf(complaints,
			"pagefold: the daemon at %s does not answer; its log may say why\n",
			socket_path);
	else
		fprintf(complaints, "pagefold: the daemon at %s broke off: %s\n", socket_path,
			curl_easy_strerror(code));
	return CLI_UNREACHABLE;
}

static void say_candidates(const json_t *candidates, FILE *complaints)
{
	const json_t *candidate;
	size_t i;

	json_array_foreach(candidates, i, candidate)
	{
		const char *uuid = json_string_value(json_object_get(candidate, "uuid"));

		fputs("  ", complaints);
		output_text(complaints, json_string_value(json_object_get(candidate, "name")));
		fprintf(complaints, "  pid:%lld  ",
			(long long)json_integer_value(json_object_get(candidate, "pid")));
		output_text(complaints, uuid);
		fputc('\n', complaints);
	}
}

static enum cli_exit refused(long status, const json_t *answer, FILE *complaints)
{
	const char *error = json_string_value(json_object_get(answer, "error"));

	fputs("pagefold: ", complaints);
	if (error)
		output_text(complaints, error);
	else
		fprintf(complaints, "the daemon answered with HTTP status %ld", status);
	fputc('\n', complaints);
	say_candidates(json_object_get(answer, "candidates"), complaints);
	return CLI_FAILED;
}

static enum cli_exit understand(
	long status, const struct answer *answer, FILE *complaints, json_t **ret)
{
	json_t *json = json_loadb(answer->bytes, answer->length, JSON_REJECT_DUPLICATES, NULL);
	enum cli_exit r;

	if (status == 200 && json_is_object(json)) {
		*ret = json;
		return CLI_DONE;
	}
	r = refused(status, json, complaints);
	json_decref(json);
	return r;
}

static void set_up(
	CURL *curl, const struct client_question *question, const char *url, FILE *stream)
{
	(void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, question->cli->socket);
	(void)curl_easy_setopt(curl, CURLOPT_URL, url);
	/* A VM may be called "..". */
	(void)curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, question->method);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, stream);
	if (strcmp(question->method, "GET") == 0) {
		(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT,
			question->timeout_s ? question->timeout_s : GET_TIMEOUT_S);
		return;
	}
	/* A release takes as long as it takes. */
	(void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, question->body ? question->body : "");
}

static enum cli_exit perform(const struct client_question *question, const char *url,
	struct answer *answer, long *ret_status)
{
	CURL *curl = curl_easy_init();
	CURLcode code = CURLE_OUT_OF_MEMORY;
	bool bad;

	answer->stream = open_memstream(&answer->bytes, &answer->length);
	if (curl && answer->stream) {
		set_up(curl, question, url, answer->stream);
		code = curl_easy_perform(curl);
	}
	bad = answer->stream && fclose(answer->stream) != 0;
	if (code == CURLE_OK)
		(void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_status);
	curl_easy_cleanup(curl);
	if (code == CURLE_OUT_OF_MEMORY || bad) {
		fputs("pagefold: out of memory\n", question->complaints);
		return CLI_FAILED;
	}
	return code == CURLE_OK ? CLI_DONE : transfer_failed(question, code);
}

enum cli_exit client_ask(const struct client_question *question, json_t **ret)
{
	_cleanup_free_ char *url = NULL;
	struct answer answer = { 0 };
	enum cli_exit r;
	long status = 0;

	if (!question->path || asprintf(&url, "http://localhost%s", question->path) < 0) {
		url = NULL;
		fputs("pagefold: out of memory\n", question->complaints);
		return CLI_FAILED;
	}
	r = perform(question, url, &answer, &status);
	if (r == CLI_DONE)
		r = understand(status, &answer, question->complaints, ret);
	free(answer.bytes);
	return r;
}

enum cli_exit client_request(
	const struct cli *cli, const char *method, const char *path, const char *body, json_t **ret)
{
	const struct client_question question = {
		.cli = cli,
		.method = method,
		.path = path,
		.body = body,
		.complaints = stderr,
	};

	return client_ask(&question, ret);
}

enum cli_exit client_command(const struct cli *cli, const char *path, const char *done_sentence)
{
	json_t *answer;
	const enum cli_exit r = client_request(cli, "POST", path, NULL, &answer);
	const char *message;

	if (r != CLI_DONE)
		return r;
	message = json_string_value(json_object_get(answer, "message"));
	if (cli->json) {
		output_json(answer);
	} else {
		output_text(stdout, message ? message : done_sentence);
		putchar('\n');
	}
	json_decref(answer);
	return CLI_DONE;
}

char *client_vm_path(const char *name, const char *rest)
{
	char *escaped = curl_easy_escape(NULL, name, (int)strlen(name));
	char *path = NULL;

	if (escaped && asprintf(&path, "/v1/vms/%s%s", escaped, rest) < 0)
		path = NULL;
	curl_free(escaped);
	return path;
}
