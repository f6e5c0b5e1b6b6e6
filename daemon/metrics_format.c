// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metrics_format.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/utf8.h"

/* ---- which one ---- */

/* A piece of a header, without the blanks around it. */
struct piece {
	const char *text;
	size_t length;
};

static struct piece piece_trim(const char *text, size_t length)
{
	while (length > 0 && (*text == ' ' || *text == '\t')) {
		text++;
		length--;
	}
	while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
		length--;
	return (struct piece){ text, length };
}

/* Cuts off what stands before the next separator. */
static struct piece piece_take(struct piece *rest, char separator)
{
	const char *end = memchr(rest->text, separator, rest->length);
	const size_t length = end ? (size_t)(end - rest->text) : rest->length;
	const struct piece taken = piece_trim(rest->text, length);

	rest->text += length + (end ? 1 : 0);
	rest->length -= length + (end ? 1 : 0);
	return taken;
}

static bool piece_is(struct piece piece, const char *word)
{
	return piece.length == strlen(word) && strncasecmp(piece.text, word, piece.length) == 0;
}

/* "0.75" in thousandths; what is no weight is none. */
static int parse_weight(struct piece piece)
{
	int weight = 0, scale = 1000;

	for (size_t i = 0; i < piece.length; i++) {
		if (i == 1 && piece.text[i] == '.')
			continue;
		if (piece.text[i] < '0' || piece.text[i] > '9' || scale == 0)
			return 0;
		weight += (piece.text[i] - '0') * scale;
		scale /= 10;
	}
	return weight > 1000 ? 0 : weight;
}

/* How much the client likes the format, by one range of its header; 0: it is about something else.
 */
static int range_weight(struct piece range, const char *type, const char *version)
{
	const struct piece name = piece_take(&range, ';');
	int weight = 1000;

	if (!piece_is(name, type))
		return 0;
	while (range.length > 0) {
		struct piece value = piece_take(&range, ';');
		const struct piece key = piece_take(&value, '=');

		value = piece_trim(value.text, value.length);
		if (piece_is(key, "version") && !piece_is(value, version))
			return 0;
		if (piece_is(key, "q"))
			weight = parse_weight(value);
	}
	return weight;
}

static int header_weight(const char *accept, const char *type, const char *version)
{
	struct piece rest = { accept, strlen(accept) };
	int best = 0;

	while (rest.length > 0) {
		const int weight = range_weight(piece_take(&rest, ','), type, version);

		best = weight > best ? weight : best;
	}
	return best;
}

enum metrics_format metrics_format_choose(const char *accept)
{
	int open, text;

	if (!accept)
		return METRICS_TEXT;
	open = header_weight(accept, "application/openmetrics-text", "1.0.0");
	text = header_weight(accept, "text/plain", "0.0.4");
	return open > 0 && open >= text ? METRICS_OPENMETRICS : METRICS_TEXT;
}

const char *metrics_content_type(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS
		       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}

/* ---- writing ---- */

static const char *sample_suffix(enum metric_type type)
{
	switch (type) {
	case METRIC_COUNTER:
		return "_total";
	case METRIC_INFO:
		return "_info";
	case METRIC_GAUGE:
		break;
	}
	return "";
}

/* In the text format a metric is called what its samples are, and there is no type info. */
static void announce(struct metrics_writer *writer, const struct metric *metric)
{
	static const char *const types[] = {
		[METRIC_GAUGE] = "gauge",
		[METRIC_COUNTER] = "counter",
		[METRIC_INFO] = "info",
	};
	const bool open = writer->format == METRICS_OPENMETRICS;
	const char *suffix = open ? "" : sample_suffix(metric->type);
	const bool has_type = open || metric->type != METRIC_INFO;

	fprintf(writer->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", metric->name, suffix, metric->help,
		metric->name, suffix, has_type ? types[metric->type] : "gauge");
	if (open && metric->unit)
		fprintf(writer->out, "# UNIT %s %s\n", metric->name, metric->unit);
}

static void begin_sample(
	struct metrics_writer *writer, const struct metric *metric, const char *labels)
{
	if (writer->announced != metric)
		announce(writer, metric);
	writer->announced = metric;
	fprintf(writer->out, "%s%s", metric->name, sample_suffix(metric->type));
	if (*labels)
		fprintf(writer->out, "{%s}", labels);
}

void metrics_count(struct metrics_writer *writer, const struct metric *metric, const char *labels,
	int64_t value)
{
	begin_sample(writer, metric, labels);
	fprintf(writer->out, " %lld\n", (long long)value);
}

void metrics_real(struct metrics_writer *writer, const struct metric *metric, const char *labels,
	double value)
{
	begin_sample(writer, metric, labels);
	fprintf(writer->out, " %.12g\n", value);
}

void metrics_end(struct metrics_writer *writer)
{
	if (writer->format == METRICS_OPENMETRICS)
		fputs("# EOF\n", writer->out);
}

/* C0, DEL, and C1, which is 0xC2 0x80 to 0xC2 0x9F. */
static bool is_control(const unsigned char *character)
{
	return character[0] < ' ' || character[0] == 0x7f ||
	       (character[0] == 0xc2 && character[1] <= 0x9f);
}

static void write_value(FILE *out, const char *value)
{
	const unsigned char *byte = (const unsigned char *)value;

	while (*byte) {
		const size_t length = utf8_length(byte);

		if (*byte == '\n')
			fputs("\\n", out);
		else if (*byte == '"' || *byte == '\\')
			fprintf(out, "\\%c", *byte);
		else if (length == 0 || is_control(byte))
			fputs(UTF8_REPLACEMENT, out);
		else
			(void)fwrite(byte, 1, length, out);
		byte += length ? length : 1;
	}
}

void metrics_label(FILE *out, const char *name, const char *value)
{
	if (!value)
		return;
	/* A list that has something in it already goes on behind a comma. */
	fprintf(out, "%s%s=\"", ftell(out) > 0 ? "," : "", name);
	write_value(out, value);
	fputc('"', out);
}
