// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "tools/pagefold/cli.h"
#include "tools/pagefold/client.h"
#include "tools/pagefold/output.h"
#include "tools/pagefold/top_screen.h"
#include "tools/pagefold/top_text.h"

#define INTERVAL_DEFAULT_S 2.0
/* Keys wait while the daemon is asked, and it answers from memory. */
#define ANSWER_TIMEOUT_S 5L
/* In a pipe nothing is cut but names that are longer than this. */
#define BATCH_WIDTH 96

static uint64_t interval_ns(const struct cli *cli)
{
	return (uint64_t)((cli->interval > 0 ? cli->interval : INTERVAL_DEFAULT_S) *
			  (double)NS_PER_S);
}

/* ---- for a program, or a file ---- */

/* A line as on the screen, but that nothing follows its text; none where there is no text. */
static void print_line(FILE *line, char *const *text)
{
	size_t length;

	if (fclose(line) != 0)
		return;
	length = strlen(*text);
	while (length > 0 && (*text)[length - 1] == ' ')
		length--;
	if (length > 0)
		printf("%.*s\n", (int)length, *text);
}

#define PRINT_LINE(out, ...)                                                                       \
	do {                                                                                       \
		_cleanup_free_ char *text_ = NULL;                                                 \
		size_t length_ = 0;                                                                \
		FILE *out = open_memstream(&text_, &length_);                                      \
		if (out) {                                                                         \
			__VA_ARGS__;                                                               \
			print_line(out, &text_);                                                   \
		}                                                                                  \
	} while (0)

static void print_frame(const struct top_model *model)
{
	const double now = (double)time(NULL);

	for (int i = 0; i < TOP_HEADER_LINES; i++)
		PRINT_LINE(out, top_header_line(out, model, i, now, BATCH_WIDTH));
	PRINT_LINE(out, top_problem_line(out, model, BATCH_WIDTH));
	PRINT_LINE(out, top_headings_line(out, BATCH_WIDTH));
	for (size_t i = 0; i < model->row_count; i++)
		PRINT_LINE(out, top_row_line(out, &model->rows[i], BATCH_WIDTH));
	putchar('\n');
}

static enum cli_exit print_once(const struct cli *cli, struct top_model *model)
{
	json_t *status;
	enum cli_exit r = client_request(cli, "GET", "/v1/status", NULL, &status);

	if (r != CLI_DONE)
		return r;
	if (cli->json) {
		output_json_line(status);
		json_decref(status);
	} else if (top_model_update(model, status)) {
		print_frame(model);
	} else {
		fputs("pagefold: out of memory\n", stderr);
		return CLI_FAILED;
	}
	/* Each is there at once, also through a pipe; main() says why it could not be written. */
	return fflush(stdout) == 0 ? CLI_DONE : CLI_FAILED;
}

static void sleep_until(uint64_t ns)
{
	const struct timespec when = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
		;
}

static enum cli_exit run_batch(const struct cli *cli)
{
	struct top_model model = { .sort = TOP_RECLAIMED };
	uint64_t next = clock_monotonic_ns();
	enum cli_exit r = CLI_DONE;

	for (uint64_t i = 0; r == CLI_DONE && (!cli->count || i < cli->count); i++) {
		if (i > 0)
			sleep_until(next);
		next += interval_ns(cli);
		r = print_once(cli, &model);
	}
	top_model_done(&model);
	return r;
}

/* ---- for eyes ---- */

/* One line of what was complained about, without the program's name. */
static char *complaint_line(char *text)
{
	static const char prefix[] = "pagefold: ";

	text[strcspn(text, "\n")] = '\0';
	return strncmp(text, prefix, strlen(prefix)) == 0 ? text + strlen(prefix) : text;
}

/* Why the daemon could not be asked; NULL: it answered, and the model is its. */
static char *ask_again(const struct cli *cli, struct top_model *model)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	FILE *complaints = open_memstream(&text, &length);
	const struct client_question question = {
		.cli = cli,
		.method = "GET",
		.path = "/v1/status",
		.timeout_s = ANSWER_TIMEOUT_S,
		.complaints = complaints,
	};
	json_t *status;
	enum cli_exit r;

	if (!complaints)
		return strdup("out of memory");
	r = client_ask(&question, &status);
	if (fclose(complaints) != 0)
		return strdup("out of memory");
	if (r == CLI_DONE)
		return top_model_update(model, status) ? NULL : strdup("out of memory");
	return strdup(complaint_line(text));
}

static void run_screen(const struct cli *cli, struct top_model *model)
{
	struct top_view view = { 0 };
	_cleanup_free_ char *trouble = NULL;
	enum top_event event = TOP_NOTHING;
	uint64_t next = clock_monotonic_ns() + interval_ns(cli);

	while (event != TOP_QUIT) {
		const uint64_t now = clock_monotonic_ns();

		view.trouble = trouble;
		top_screen_draw(model, &view);
		event = now < next
				? top_screen_wait(model, &view, (int)((next - now) / NS_PER_MS) + 1)
				: TOP_REDRAW;
		if (event != TOP_REDRAW)
			continue;
		/* What is on the screen stays there while the daemon is gone. */
		free(trouble);
		trouble = ask_again(cli, model);
		next = clock_monotonic_ns() + interval_ns(cli);
	}
}

static enum cli_exit refuse_terminal(int error)
{
	fprintf(stderr,
		"pagefold: %s; pagefold status shows the same once, pagefold top --count 1 in a "
		"form for "
		"files\n",
		error == -ENOTTY ? "top needs a terminal, and this is none"
				 : "top cannot draw on this terminal (TERM)");
	return CLI_FAILED;
}

enum cli_exit cmd_top(const struct cli *cli)
{
	struct top_model model = { .sort = TOP_RECLAIMED };
	json_t *status;
	enum cli_exit r;
	int error;

	if (cli->json || cli->count)
		return run_batch(cli);
	r = client_request(cli, "GET", "/v1/status", NULL, &status);
	if (r != CLI_DONE)
		return r;
	error = top_screen_open();
	if (error < 0) {
		json_decref(status);
		return refuse_terminal(error);
	}
	if (top_model_update(&model, status))
		run_screen(cli, &model);
	top_screen_close();
	top_model_done(&model);
	return CLI_DONE;
}
