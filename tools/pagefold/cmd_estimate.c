// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/cli.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/estimate.h"
#include "daemon/json_text.h"
#include "hashing/page_fingerprint.h"
#include "hypervisor-glue/vmm.h"
#include "tools/pagefold/output.h"

static const struct output_column columns[] = {
	{ "NAME", false, "name", output_string },
	{ "PID", true, "pid", output_integer },
	{ "PAGES", true, "pages_scanned", output_integer },
	{ "DUPLICATE", true, "duplicate_pages", output_integer },
	{ "CONTENTS", true, "distinct_contents", output_integer },
	{ "ZERO MiB", true, "zero_bytes", output_mib },
	{ "SELF", true, "self_bytes", output_mib },
	{ "CROSS", true, "cross_bytes", output_mib },
	{ "SAVEABLE", true, "saveable_bytes", output_mib },
};

static json_t *sums_json(const struct twin_sums *sums)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "pages_scanned",
		(json_int_t)sums->pages, "zero_pages", (json_int_t)sums->zero_pages,
		"duplicate_pages", (json_int_t)sums->duplicate_pages, "distinct_contents",
		(json_int_t)sums->distinct_contents, "saveable_bytes",
		(json_int_t)twin_sums_saveable_bytes(sums), "zero_bytes",
		(json_int_t)(sums->zero_pages * FINGERPRINT_PAGE_BYTES), "self_bytes",
		(json_int_t)sums->self_bytes, "cross_bytes", (json_int_t)sums->cross_bytes);
}

static json_t *vm_json(const struct estimate_vm *vm)
{
	json_t *json = sums_json(&vm->sums);

	if (!json)
		return NULL;
	if (json_object_set_new(json, "name", json_text(vm->name)) < 0 ||
		json_object_set_new(json, "uuid", json_text(vm->uuid[0] ? vm->uuid : NULL)) < 0 ||
		json_object_set_new(json, "pid", json_integer(vm->pid)) < 0 ||
		json_object_set_new(json, "kind", json_string(vm->is_vm ? "vm" : "process")) < 0 ||
		json_object_set_new(json, "note", json_text(vm->note)) < 0) {
		json_decref(json);
		return NULL;
	}
	return json;
}

static json_t *report_json(const struct estimate_report *report)
{
	json_t *vms = json_array();

	for (size_t i = 0; i < report->vm_count; i++) {
		if (json_array_append_new(vms, vm_json(&report->vms[i])) < 0) {
			json_decref(vms);
			return NULL;
		}
	}
	return json_pack(
		"{s:i, s:o, s:o}", "schema", 1, "total", sums_json(&report->total), "vms", vms);
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (double)(1 << 20);
}

static void report_print(const struct estimate_report *report, const json_t *json)
{
	const uint64_t read = report->total.pages * FINGERPRINT_PAGE_BYTES;
	const uint64_t saveable = twin_sums_saveable_bytes(&report->total);

	if (!report->vm_count) {
		puts("No VM is running on this host; name processes with --pid.");
		return;
	}
	output_table(columns, ARRAY_SIZE(columns), json_object_get(json, "vms"));
	printf("\nFolding could save %.1f MiB of %.1f MiB read (%.1f %%).\n", mib(saveable),
		mib(read), read ? 100.0 * (double)saveable / (double)read : 0.0);
	for (size_t i = 0; i < report->vm_count; i++) {
		if (!report->vms[i].note)
			continue;
		output_text(stdout, report->vms[i].name);
		fputs(": ", stdout);
		output_text(stdout, report->vms[i].note);
		putchar('\n');
	}
}

/* ---- which processes ---- */

static bool vm_is_called(const struct vmm *vm, const char *name)
{
	return !strcmp(vm->cmdline.name, name) || !strcasecmp(vm->cmdline.uuid, name);
}

/* The one VM of that name or uuid; -1 after saying what is wrong with it. */
static pid_t vm_pid_find(const struct vmm *vms, size_t count, const char *name)
{
	pid_t found = 0;

	for (size_t i = 0; i < count; i++) {
		if (!vm_is_called(&vms[i], name))
			continue;
		if (found) {
			fputs("pagefold: more than one VM is called ", stderr);
			output_text(stderr, name);
			fprintf(stderr, " (pids %d and %d); name one with --pid.\n", (int)found,
				(int)vms[i].id.pid);
			return -1;
		}
		found = vms[i].id.pid;
	}
	if (found)
		return found;
	fputs("pagefold: no running VM is called ", stderr);
	output_text(stderr, name);
	fputs("; `pagefold estimate` lists them all.\n", stderr);
	return -1;
}

/* The pids of --pid and of the VMs named. */
static enum cli_exit pids_collect(
	const struct cli *cli, const struct host_root *root, pid_t **ret_pids, size_t *ret_count)
{
	const size_t count = cli->pid_count + cli->argument_count;
	_cleanup_free_ pid_t *pids = calloc(count + 1, sizeof(*pids));
	_cleanup_free_ struct vmm *vms = NULL;
	size_t vm_count = 0;

	if (!pids || (cli->argument_count && vmm_list(root, &vms, &vm_count) < 0)) {
		fputs("pagefold: the running VMs cannot be listed.\n", stderr);
		return CLI_FAILED;
	}
	for (size_t i = 0; i < cli->pid_count; i++)
		pids[i] = cli->pids[i];
	for (size_t i = 0; i < cli->argument_count; i++) {
		const pid_t pid = vm_pid_find(vms, vm_count, cli->arguments[i]);

		if (pid < 0)
			return CLI_FAILED;
		pids[cli->pid_count + i] = pid;
	}
	*ret_pids = steal_pointer(&pids);
	*ret_count = count;
	return CLI_DONE;
}

static enum cli_exit estimate_print(const struct cli *cli, const struct host_root *root)
{
	_cleanup_free_ pid_t *pids = NULL;
	_cleanup_free_ char *sentence = NULL;
	struct estimate_options options = { .root = root, .allow_pagemap_scan = true };
	struct estimate_report report;
	enum cli_exit r;
	json_t *json;

	r = pids_collect(cli, root, &pids, &options.pid_count);
	if (r != CLI_DONE)
		return r;
	options.pids = pids;
	if (estimate_run(&options, &report, &sentence) < 0) {
		fprintf(stderr, "pagefold: %s.\n", sentence ? sentence : "out of memory");
		return CLI_FAILED;
	}
	json = report_json(&report);
	if (!json)
		fputs("pagefold: out of memory.\n", stderr);
	else if (cli->json)
		output_json(json);
	else
		report_print(&report, json);
	json_decref(json);
	estimate_report_done(&report);
	return json ? CLI_DONE : CLI_FAILED;
}

enum cli_exit cmd_estimate(const struct cli *cli)
{
	struct host_root root;
	enum cli_exit r;

	if (host_root_open("", &root) < 0) {
		fputs("pagefold: /proc and /sys cannot be opened.\n", stderr);
		return CLI_FAILED;
	}
	r = estimate_print(cli, &root);
	host_root_done(&root);
	return r;
}
