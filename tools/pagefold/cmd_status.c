// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdio.h>

#include "tools/pagefold/cli.h"
#include "tools/pagefold/client.h"
#include "tools/pagefold/output.h"
#include "tools/pagefold/vm_table.h"

#define LABEL "%-16s"

static const char *mib(const json_t *object, const char *key, struct output_cell *buffer)
{
	*buffer = output_mib(json_object_get(object, key));
	return buffer->text;
}

static const char *seconds(const json_t *object, const char *key, struct output_cell *buffer)
{
	*buffer = output_seconds(json_object_get(object, key));
	return buffer->text;
}

static const char *count(const json_t *object, const char *key, struct output_cell *buffer)
{
	*buffer = output_integer(json_object_get(object, key));
	return buffer->text;
}

static const char *string(const json_t *object, const char *key, struct output_cell *buffer)
{
	*buffer = output_string(json_object_get(object, key));
	return buffer->text;
}

static void print_host(const json_t *host)
{
	struct output_cell a, b;
	const json_t *feature;
	size_t i;

	printf(LABEL "%s MiB, %s MiB available\n", "Memory", mib(host, "memory_bytes", &a),
		mib(host, "available_bytes", &b));
	printf(LABEL "%s\n", "Kernel", string(host, "kernel", &a));
	printf(LABEL, "Features");
	json_array_foreach(json_object_get(host, "features"), i, feature)
	{
		a = output_string(feature);
		printf("%s%s", i ? ", " : "", a.text);
	}
	printf("%s\n", i ? "" : "-");
	printf(LABEL "%s\n", "ksmd driver", string(host, "ksm_driver", &a));
	printf(LABEL "%s\n", "Active group", string(host, "active_group", &a));
}

static void print_pass(const json_t *pass)
{
	struct output_cell a, b, c, d;

	if (json_is_null(json_object_get(pass, "finished_at"))) {
		printf(LABEL "none has finished yet\n", "Last pass");
		return;
	}
	printf(LABEL "number %s, finished %s, %s pages read, %s MiB/s\n", "Last pass",
		count(pass, "number", &a), string(pass, "finished_at", &b),
		count(pass, "pages_scanned", &c), mib(pass, "bytes_per_second", &d));
}

static void print_savings(const json_t *savings)
{
	struct output_cell a, b, c, d;

	printf(LABEL "%s MiB (zero pages %s, twins within a VM %s, across VMs %s)\n", "Reclaimed",
		mib(savings, "reclaimed_bytes", &a), mib(savings, "reclaimed_zero_bytes", &b),
		mib(savings, "reclaimed_self_bytes", &c),
		mib(savings, "reclaimed_cross_bytes", &d));
	printf(LABEL "%s MiB after %s MiB of metadata\n", "Net", mib(savings, "net_bytes", &a),
		mib(savings, "metadata_bytes", &b));
	d = output_error_percent(json_object_get(savings, "prediction_error_percent"));
	printf(LABEL "%s MiB by the plans, %s MiB by the kernel: %s %%\n", "Predicted",
		mib(savings, "predicted_bytes", &a), mib(savings, "delivered_bytes", &b), d.text);
	printf(LABEL "%s MiB more\n", "Potential", mib(savings, "potential_bytes", &a));
	printf(LABEL "%s MiB would be needed at once if every fold broke\n", "Exposure",
		mib(savings, "exposure_bytes", &a));
}

static void print_cost(const json_t *cost)
{
	struct output_cell a, b, c, d;

	printf(LABEL "scan %s s, ksmd %s s, ring %s s, helper %s s\n", "CPU",
		seconds(cost, "scan_cpu_seconds", &a), seconds(cost, "ksmd_cpu_seconds", &b),
		seconds(cost, "ring_cpu_seconds", &c), seconds(cost, "helper_cpu_seconds", &d));
	printf(LABEL "%s broken folds (ns each: median %s, 99th percentile %s)\n", "Write faults",
		count(cost, "cow_breaks", &a), count(cost, "cow_break_ns_p50", &b),
		count(cost, "cow_break_ns_p99", &c));
	printf(LABEL "%s s of delay, the longest request %s s; %s huge pages lost\n", "Stall",
		(a = output_short_seconds(json_object_get(cost, "stall_seconds_estimate"))).text,
		(b = output_short_seconds(json_object_get(cost, "stall_longest_seconds"))).text,
		count(cost, "hugepages_lost", &c));
}

static void print_verdict(const json_t *verdict)
{
	struct output_cell a, b, c;
	const char *reason = json_string_value(json_object_get(verdict, "reason"));

	a = output_string(json_object_get(verdict, "word"));
	printf(LABEL "%s", "Worth it?", a.text);
	if (reason) {
		fputs(": ", stdout);
		output_text(stdout, reason);
	}
	printf("\n" LABEL "%s MiB for a second of CPU an hour, %s MiB for a second of delay an hour\n", "Gain",
		mib(verdict, "net_bytes_per_cpu_second", &b),
		mib(verdict, "net_bytes_per_stall_second", &c));
}

static void print_sentences(const char *label, const json_t *sentences)
{
	const json_t *sentence;
	size_t i;

	json_array_foreach(sentences, i, sentence)
	{
		printf(LABEL, label);
		output_text(stdout, json_string_value(sentence));
		putchar('\n');
	}
}

static void print_status(const json_t *status)
{
	const json_t *host = json_object_get(status, "host");

	print_host(host);
	print_pass(json_object_get(status, "pass"));
	print_savings(json_object_get(status, "savings"));
	print_cost(json_object_get(status, "cost"));
	print_verdict(json_object_get(status, "verdict"));
	if (json_is_true(json_object_get(host, "paused")))
		printf(LABEL "scanning and folding; `pagefold resume` goes on\n", "Paused");
	print_sentences("Blocked", json_object_get(host, "blocked_by"));
	print_sentences("Warning", json_object_get(host, "warnings"));
	putchar('\n');
	vm_table_print(json_object_get(status, "vms"));
}

enum cli_exit cmd_status(const struct cli *cli)
{
	json_t *answer;
	const enum cli_exit r = client_request(cli, "GET", "/v1/status", NULL, &answer);

	if (r != CLI_DONE)
		return r;
	if (cli->json)
		output_json(answer);
	else
		print_status(answer);
	json_decref(answer);
	return r;
}
