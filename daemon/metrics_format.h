/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How metrics are written down: the Prometheus text format 0.0.4, or OpenMetrics 1.0.0. What is in
 * them is metrics_text.c's.
 */
#ifndef PAGEFOLD_DAEMON_METRICS_FORMAT_H
#define PAGEFOLD_DAEMON_METRICS_FORMAT_H

#include <stdint.h>
#include <stdio.h>

enum metrics_format { METRICS_TEXT, METRICS_OPENMETRICS };

/* By an Accept header (RFC 9110, 12.5.1; any bytes, NULL: none): OpenMetrics where it is asked for
 * and the text format is not liked better. */
enum metrics_format metrics_format_choose(const char *accept);
const char *metrics_content_type(enum metrics_format format);

/* A counter's samples get _total behind their name, an info's _info; the name is without it. */
enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_INFO };

struct metric {
	const char *name;
	enum metric_type type;
	const char *unit; /* the end of the name; NULL: none */
	const char *help; /* a sentence without quotes, backslashes and line ends */
};

struct metrics_writer {
	FILE *out;
	enum metrics_format format;
	const struct metric *announced; /* whose samples come at present */
};

/* labels: what stands between the braces, written with metrics_label(); "": none. What a metric is,
 * is said before its first sample: one without samples is not there. */
void metrics_count(struct metrics_writer *writer, const struct metric *metric, const char *labels,
	int64_t value);
void metrics_real(struct metrics_writer *writer, const struct metric *metric, const char *labels,
	double value);
void metrics_end(struct metrics_writer *writer);

/* Another label of a list; value is any bytes: what is not UTF-8, and every control character but a
 * line end, becomes U+FFFD. NULL value: none. */
void metrics_label(FILE *out, const char *name, const char *value);

#endif
