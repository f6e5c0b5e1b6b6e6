// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/top_screen.h"

#include <curses.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "common/cleanup.h"
#include "tools/pagefold/top_text.h"

/* The header, the line for problems and the headings; what is said of the selected VM, and the
 * keys. */
#define LINES_ABOVE (TOP_HEADER_LINES + 2)
#define LINES_BELOW 2

static SCREEN *screen;
static volatile sig_atomic_t interrupted;

static void on_interrupt(_unused_ int number)
{
	interrupted = 1;
}

/* Ctrl-C quits like q does; ncurses' own handler, which it would install, ends with a failure.
 * Without SA_RESTART, so that the wait for a key is over. */
static void catch_interrupt(void)
{
	const struct sigaction action = { .sa_handler = on_interrupt };

	(void)sigaction(SIGINT, &action, NULL);
}

int top_screen_open(void)
{
	const char *terminal = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return -ENOTTY;
	if (!terminal || !*terminal || strcmp(terminal, "dumb") == 0)
		return -EINVAL;
	catch_interrupt();
	/* Not initscr(), which ends the program where it fails. */
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return -EINVAL;
	(void)set_escdelay(25); /* an escape sequence comes in one piece, over ssh too */
	(void)cbreak();
	(void)noecho();
	(void)nonl();
	(void)curs_set(0);
	(void)keypad(stdscr, TRUE);
	(void)nodelay(stdscr, TRUE);
	return 0;
}

void top_screen_close(void)
{
	if (!screen)
		return;
	(void)endwin();
	delscreen(screen);
	screen = NULL;
}

/* ---- drawing ---- */

static int rows_shown(void)
{
	return LINES - LINES_ABOVE - LINES_BELOW;
}

static void put_line(int y, int attributes, const char *text)
{
	_cleanup_free_ wchar_t *wide = NULL;
	const size_t length = mbstowcs(NULL, text, 0);

	wide = length == (size_t)-1 ? NULL : calloc(length + 1, sizeof(*wide));
	if (!wide || mbstowcs(wide, text, length + 1) == (size_t)-1)
		return;
	(void)attrset(attributes);
	(void)mvaddwstr(y, 0, wide);
	(void)attrset(A_NORMAL);
}

/* A line that is written by what follows, up to its end. */
#define PUT_LINE(y, attributes, out, ...)                                                          \
	do {                                                                                       \
		_cleanup_free_ char *text_ = NULL;                                                 \
		size_t length_ = 0;                                                                \
		FILE *out = open_memstream(&text_, &length_);                                      \
		if (out) {                                                                         \
			__VA_ARGS__;                                                               \
			if (fclose(out) == 0)                                                      \
				put_line(y, attributes, text_);                                    \
		}                                                                                  \
	} while (0)

static void draw_help(void)
{
	static const char *const lines[] = {
		"Keys",
		"  q                  quit",
		"  s, right, left     sort by the next column, the one before",
		"  r                  reverse the order",
		"  up, down, page up, page down, home, end",
		"                     select a VM: below the list is what there is to say of it",
		"  space              ask the daemon now",
		"  h, ?               this help",
		"",
		"Columns (sizes in MiB; - is not measured, or not yet)",
		"  RESIDENT   what of its memory is there",
		"  RECLAIMED  what folding has brought back: its share",
		"  POTENTIAL  what folding could still bring back, an estimate",
		"  BREAKS/s   folded pages that it has written to, an estimate",
		"  CPU%       CPU time that was spent on it, of one core",
		"BREAKS/s and CPU% are those between the last two passes.",
		"",
		"Any key goes back.",
	};

	for (int i = 0; i < (int)ARRAY_SIZE(lines) && i < LINES; i++)
		put_line(i, i == 0 ? A_BOLD : A_NORMAL, lines[i]);
}

static void draw_header(const struct top_model *model, const struct top_view *view)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	for (int i = 0; i < TOP_HEADER_LINES; i++)
		PUT_LINE(i, i == 0 ? A_BOLD : A_NORMAL, out,
			top_header_line(out, model, i, (double)now.tv_sec, COLS));
	if (view->trouble)
		PUT_LINE(TOP_HEADER_LINES, A_BOLD, out,
			top_put(out,
				"Gone       pagefoldd does not answer; this is what it said last",
				COLS, false));
	else
		PUT_LINE(TOP_HEADER_LINES, A_BOLD, out, top_problem_line(out, model, COLS));
	PUT_LINE(TOP_HEADER_LINES + 1, A_REVERSE, out, top_headings_line(out, COLS));
}

/* The selected row is on the screen, and the screen is full where there are rows for it. */
static void scroll_to(const struct top_model *model, struct top_view *view, size_t selected)
{
	const size_t shown = (size_t)rows_shown();

	if (view->first + shown > model->row_count)
		view->first = model->row_count > shown ? model->row_count - shown : 0;
	if (selected == model->row_count)
		return;
	if (selected < view->first)
		view->first = selected;
	if (selected >= view->first + shown)
		view->first = selected - shown + 1;
}

/* Why it is in its state; where there is nothing to say of that, whether folding it is worth it. */
static const char *sentence_about(const json_t *vm)
{
	const char *reason = json_string_value(json_object_get(vm, "reason"));

	return reason ? reason
		      : json_string_value(
				json_object_get(json_object_get(vm, "verdict"), "reason"));
}

static void draw_rows(const struct top_model *model, struct top_view *view)
{
	const size_t selected = top_model_find(model, view->selected);
	const char *sentence = view->trouble;

	scroll_to(model, view, selected);
	for (int i = 0; i < rows_shown() && view->first + (size_t)i < model->row_count; i++) {
		const size_t index = view->first + (size_t)i;

		PUT_LINE(LINES_ABOVE + i, index == selected ? A_STANDOUT : A_NORMAL, out,
			top_row_line(out, &model->rows[index], COLS));
	}
	if (model->row_count == 0)
		put_line(LINES_ABOVE, A_NORMAL, "No VM, and no process that a policy names.");
	if (!sentence && selected < model->row_count)
		sentence = sentence_about(model->rows[selected].vm);
	if (sentence)
		PUT_LINE(LINES - 2, A_NORMAL, out, top_put(out, sentence, COLS, false));
}

void top_screen_draw(const struct top_model *model, struct top_view *view)
{
	(void)erase();
	if (view->help) {
		draw_help();
	} else if (COLS < TOP_WIDTH_MIN || rows_shown() < 1) {
		put_line(0, A_NORMAL, "This terminal is too small.");
	} else {
		draw_header(model, view);
		draw_rows(model, view);
		/* One column less: writing into the last corner may scroll. */
		PUT_LINE(LINES - 1, A_NORMAL, out,
			fprintf(out, "q quit  s sort (by %s%s)  r reverse  h help",
				top_column_heading(model->sort),
				model->reversed ? ", reversed" : ""));
	}
	(void)refresh();
}

/* ---- keys ---- */

static void select_row(const struct top_model *model, struct top_view *view, long step)
{
	const size_t now = top_model_find(model, view->selected);
	long row = now < model->row_count ? (long)now + step : (step < 0 ? -1 : (long)view->first);

	if (model->row_count == 0)
		return;
	if (row < 0)
		row = 0;
	if (row >= (long)model->row_count)
		row = (long)model->row_count - 1;
	view->selected = top_row_pid(&model->rows[row]);
}

static void sort_by(struct top_model *model, int step)
{
	const int column = ((int)model->sort + step + TOP_COLUMNS) % TOP_COLUMNS;

	top_model_sort(model, (enum top_column)column, false);
}

static enum top_event on_key(struct top_model *model, struct top_view *view, int key)
{
	const long page = rows_shown() > 1 ? rows_shown() - 1 : 1;

	if (view->help && key != KEY_RESIZE) {
		view->help = false;
		return TOP_NOTHING;
	}
	switch (key) {
	case 'q':
		return TOP_QUIT;
	case ' ':
		return TOP_REDRAW;
	case 's':
	case KEY_RIGHT:
		sort_by(model, 1);
		break;
	case KEY_LEFT:
		sort_by(model, -1);
		break;
	case 'r':
		top_model_sort(model, model->sort, !model->reversed);
		break;
	case 'h':
	case '?':
		view->help = true;
		break;
	case KEY_UP:
	case KEY_DOWN:
		select_row(model, view, key == KEY_UP ? -1 : 1);
		break;
	case KEY_PPAGE:
	case KEY_NPAGE:
		select_row(model, view, key == KEY_PPAGE ? -page : page);
		break;
	case KEY_HOME:
	case KEY_END:
		select_row(model, view, (key == KEY_HOME ? -1 : 1) * (long)model->row_count);
		break;
	default:
		break;
	}
	return TOP_NOTHING;
}

enum top_event top_screen_wait(struct top_model *model, struct top_view *view, int timeout_ms)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	enum top_event event = TOP_NOTHING;
	int key;

	if (interrupted) /* while the daemon was asked */
		return TOP_QUIT;
	/* A signal, as that of a resize, ends the wait as well: ncurses makes a key of it. */
	if (poll(&input, 1, timeout_ms) > 0 && (input.revents & (POLLHUP | POLLERR | POLLNVAL)))
		return TOP_QUIT;
	while (event == TOP_NOTHING && (key = getch()) != ERR) {
		event = on_key(model, view, key);
		top_screen_draw(model, view);
	}
	return interrupted ? TOP_QUIT : event;
}
