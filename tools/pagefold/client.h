/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests to the daemon. What goes wrong is said on stderr, with what to do about it. */
#ifndef PAGEFOLD_CLI_CLIENT_H
#define PAGEFOLD_CLI_CLIENT_H

#include <jansson.h>
#include <stdio.h>

#include "tools/pagefold/cli.h"

/* One request. */
struct client_question {
	const struct cli *cli;
	const char *method, *path, *body; /* body NULL: none */
	long timeout_s;                   /* of a GET; 0: the usual */
	FILE *complaints;                 /* where what goes wrong is said */
};

/* On CLI_DONE the caller owns *ret. */
enum cli_exit client_ask(const struct client_question *question, json_t **ret);
/* The same in short, complaints on stderr. body NULL: none. On CLI_DONE the caller owns *ret. */
enum cli_exit client_request(const struct cli *cli, const char *method, const char *path,
	const char *body, json_t **ret);
/* A POST whose answer is a sentence: printed, or done_sentence where the daemon has nothing to add. */
enum cli_exit client_command(const struct cli *cli, const char *path, const char *done_sentence);
/* "/v1/vms/NAME" and what follows it, with NAME encoded; freed by the caller, NULL: no memory. */
char *client_vm_path(const char *name, const char *rest);

#endif
