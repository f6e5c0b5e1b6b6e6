// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/estimate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "daemon/guest.h"
#include "daemon/scan.h"
#include "hypervisor-glue/ksm.h"

static int error_sentence(int error, char **ret_error, const char *what, pid_t pid)
{
	if (asprintf(ret_error, "process %d: %s: %s", (int)pid, what, strerror(-error)) < 0)
		*ret_error = NULL;
	return error;
}

/* The pids to look at, ascending and without repeats. */
static int pids_choose(
	const struct estimate_options *options, pid_t **ret_pids, size_t *ret_count)
{
	_cleanup_free_ struct vmm *vmms = NULL;
	size_t count = options->pid_count;
	pid_t *pids;
	int error;

	if (!count) {
		error = vmm_list(options->root, &vmms, &count);
		if (error)
			return error;
	}
	pids = calloc(count ? count : 1, sizeof(*pids));
	if (!pids)
		return -ENOMEM;
	*ret_count = 0;
	for (size_t i = 0; i < count; i++) {
		const pid_t pid = vmms ? vmms[i].id.pid : options->pids[i];
		size_t at = *ret_count;

		while (at && pids[at - 1] > pid)
			at--;
		if (at && pids[at - 1] == pid)
			continue;
		memmove(&pids[at + 1], &pids[at], (*ret_count - at) * sizeof(*pids));
		pids[at] = pid;
		(*ret_count)++;
	}
	*ret_pids = pids;
	return 0;
}

static int guest_scan_all(
	const struct host_root *root, struct guest *guest, struct scanner *scanner)
{
	const struct scan_source source = {
		.root = root,
		.process = &guest->process,
		.pagemap = &guest->pagemap,
		.trust = guest->is_vm ? TRUST_HUGE : TRUST_NOTHING,
		.nodes_apart = ksm_keeps_nodes_apart(root),
	};
	int error = guest_map(root, guest);

	for (size_t i = 0; !error && i < guest->map.count; i++)
		if (!guest->map.extents[i].watched)
			error = scan_extent(scanner, &source, &guest->map.extents[i]);
	return error;
}

/* Opens and reads one process. 1: it is in; 0: it ended and nobody asked for it by pid. */
static int guest_take(const struct estimate_options *options, pid_t pid, struct scanner *scanner,
	struct guest *ret_guest, char **ret_error)
{
	struct guest guest;
	int error;

	error = guest_open(options->root, pid, options->allow_pagemap_scan, &guest);
	if (!error) {
		error = guest_scan_all(options->root, &guest, scanner);
		if (error)
			guest_done(&guest);
	}
	if (error == -ESRCH && !options->pid_count)
		return 0;
	if (error == -ESRCH)
		return error_sentence(error, ret_error, "not running (any more)", pid);
	if (error)
		return error_sentence(error, ret_error,
			"its memory cannot be read (root or CAP_SYS_PTRACE is needed)", pid);
	*ret_guest = guest;
	return 1;
}

static int guests_count(const struct estimate_options *options, const struct guest *guests,
	struct estimate_report *report)
{
	const struct twin_index_options index_options = {
		.partition_bytes = options->partition_bytes
	};
	const size_t count = report->vm_count;
	_cleanup_free_ struct twin_owner *owners = calloc(count ? count : 1, sizeof(*owners));
	_cleanup_free_ struct extent_prints **prints = NULL;
	size_t total = 0;
	int error;

	for (size_t i = 0; i < count; i++)
		total += guests[i].map.count;
	prints = calloc(total ? total : 1, sizeof(struct extent_prints *));
	if (!owners || !prints)
		return -ENOMEM;
	total = 0;
	for (size_t i = 0; i < count; i++) {
		owners[i].extents = prints + total;
		owners[i].extent_count = guests[i].map.count;
		for (size_t e = 0; e < guests[i].map.count; e++)
			prints[total++] = guests[i].map.extents[e].prints;
	}
	error = twin_index_count(owners, count, &index_options, &report->total);
	if (error)
		return error;
	for (size_t i = 0; i < count; i++)
		report->vms[i].sums = owners[i].ret_sums;
	return 0;
}

static int vm_describe(const struct guest *guest, struct estimate_vm *ret)
{
	ret->pid = guest->process.id.pid;
	ret->is_vm = guest->is_vm;
	snprintf(ret->uuid, sizeof(ret->uuid), "%s", guest->vmm.cmdline.uuid);
	ret->note = guest_ineligible_text(guest);
	ret->name = strdup(guest->vmm.cmdline.name);
	return ret->name ? 0 : -ENOMEM;
}

static int guests_read(const struct estimate_options *options, const pid_t *pids, size_t pid_count,
	struct guest *guests, struct estimate_report *report, char **ret_error)
{
	_cleanup_(scanner_done) struct scanner scanner = { 0 };
	int error = scanner_init(&scanner);

	for (size_t i = 0; !error && i < pid_count; i++) {
		struct guest *guest = &guests[report->vm_count];
		const int taken = guest_take(options, pids[i], &scanner, guest, ret_error);

		if (taken < 0)
			return taken;
		if (taken)
			error = vm_describe(guest, &report->vms[report->vm_count++]);
	}
	return error;
}

int estimate_run(const struct estimate_options *options, struct estimate_report *ret,
	char **ret_error)
{
	struct estimate_report report = { 0 };
	_cleanup_free_ struct guest *guests = NULL;
	_cleanup_free_ pid_t *pids = NULL;
	size_t pid_count;
	int error;

	*ret_error = NULL;
	error = pids_choose(options, &pids, &pid_count);
	if (error)
		goto fail;
	guests = calloc(pid_count ? pid_count : 1, sizeof(*guests));
	report.vms = calloc(pid_count ? pid_count : 1, sizeof(*report.vms));
	error = guests && report.vms ? 0 : -ENOMEM;
	if (!error)
		error = guests_read(options, pids, pid_count, guests, &report, ret_error);
	if (!error)
		error = guests_count(options, guests, &report);
	for (size_t i = 0; guests && i < report.vm_count; i++)
		guest_done(&guests[i]);
	if (!error) {
		*ret = report;
		return 0;
	}
fail:
	estimate_report_done(&report);
	if (!*ret_error && asprintf(ret_error, "%s", strerror(-error)) < 0)
		*ret_error = NULL;
	return error;
}

void estimate_report_done(struct estimate_report *report)
{
	for (size_t i = 0; i < report->vm_count; i++) {
		free(report->vms[i].name);
		free(report->vms[i].note);
	}
	free(report->vms);
	*report = (struct estimate_report){ 0 };
}
