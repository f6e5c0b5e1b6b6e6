/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The terminal of `pagefold top` (ncurses): draws a model, and says which keys were pressed. */
#ifndef PAGEFOLD_CLI_TOP_SCREEN_H
#define PAGEFOLD_CLI_TOP_SCREEN_H

#include "tools/pagefold/top_model.h"

struct top_view {
	pid_t selected;      /* 0: none */
	size_t first;        /* row on top */
	bool help;           /* the keys are shown instead */
	const char *trouble; /* why the daemon does not answer; NULL: it does */
};

enum top_event { TOP_NOTHING, TOP_REDRAW, TOP_QUIT };

/* 0; -ENOTTY: input or output is no terminal; -EINVAL: a terminal that cannot be drawn on. */
int top_screen_open(void);
void top_screen_close(void);

void top_screen_draw(const struct top_model *model, struct top_view *view);

/* Waits for a key for at most that long, and does with model and view what it is for. */
enum top_event top_screen_wait(struct top_model *model, struct top_view *view, int timeout_ms);

#endif
