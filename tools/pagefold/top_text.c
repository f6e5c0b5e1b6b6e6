// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/top_text.h"

#include <limits.h>
#include <math.h>
#include <string.h>
#include <wchar.h>

#include "common/cleanup.h"
#include "tools/pagefold/output.h"

static const struct {
	const char *heading;
	int width; /* 0: what is left */
	bool right;
} columns[TOP_COLUMNS] = {
	[TOP_NAME] = { "NAME", 0, false },
	[TOP_GROUP] = { "GROUP", 8, false },
	[TOP_STATE] = { "STATE", 10, false },
	[TOP_RESIDENT] = { "RESIDENT", 9, true },
	[TOP_RECLAIMED] = { "RECLAIMED", 9, true },
	[TOP_POTENTIAL] = { "POTENTIAL", 9, true },
	[TOP_BREAKS] = { "BREAKS/s", 8, true },
	[TOP_CPU] = { "CPU%", 5, true },
};

const char *top_column_heading(enum top_column column)
{
	return columns[column].heading;
}

/* ---- text in columns ---- */

/* The next character of text, or a '?' for what the locale cannot show. */
static wchar_t next_character(const char **text, int *ret_width)
{
	wchar_t character;
	mbstate_t state = { 0 };
	size_t bytes = mbrtowc(&character, *text, strlen(*text), &state);
	const bool good = bytes != (size_t)-1 && bytes != (size_t)-2 && bytes > 0;

	*text += good ? bytes : 1;
	*ret_width = good ? wcwidth(character) : -1;
	if (*ret_width >= 0)
		return character;
	*ret_width = 1;
	return L'?';
}

static int width_of(const char *text)
{
	int width = 0, one;

	while (*text) {
		(void)next_character(&text, &one);
		width += one;
	}
	return width;
}

static void put_blanks(FILE *out, int count)
{
	fprintf(out, "%*s", count > 0 ? count : 0, "");
}

static void put_clean(FILE *out, const char *text, int width, bool right)
{
	int left = width, one;

	if (right)
		put_blanks(out, width - width_of(text));
	while (*text) {
		char bytes[MB_LEN_MAX];
		mbstate_t state = { 0 };
		const wchar_t character = next_character(&text, &one);
		const size_t length = wcrtomb(bytes, character, &state);

		if (one > left)
			break;
		left -= one;
		if (length != (size_t)-1)
			(void)fwrite(bytes, 1, length, out);
	}
	if (!right)
		put_blanks(out, left);
}

/* What output_text() lets through: no control characters, and no bidirectional overrides. */
static char *text_clean(const char *text)
{
	_cleanup_free_ char *clean = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&clean, &length);

	if (!out)
		return NULL;
	output_text(out, text);
	return fclose(out) == 0 ? steal_pointer(&clean) : NULL;
}

void top_put(FILE *out, const char *text, int width, bool right)
{
	_cleanup_free_ char *clean = text_clean(text);

	put_clean(out, clean ? clean : "?", width, right);
}

/* ---- cells ---- */

/* A number that does not fit is written with fewer digits behind the point. */
static struct output_cell number_cell(double number, int width)
{
	struct output_cell cell = { "-" };

	if (isnan(number))
		return cell;
	for (int digits = 1; digits >= 0; digits--)
		if (snprintf(cell.text, sizeof(cell.text), "%.*f", digits, number) <= width)
			return cell;
	(void)snprintf(cell.text, sizeof(cell.text), "%.1e", number);
	return cell;
}

static double mib_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? (double)json_integer_value(value) / (1024.0 * 1024.0) : NAN;
}

static struct output_cell name_cell(const json_t *vm)
{
	const char *name = json_string_value(json_object_get(vm, "name"));
	struct output_cell cell;

	if (name && *name)
		return output_string(json_object_get(vm, "name"));
	(void)snprintf(cell.text, sizeof(cell.text), "pid:%lld",
		(long long)json_integer_value(json_object_get(vm, "pid")));
	return cell;
}

static struct output_cell row_cell(const struct top_row *row, enum top_column column)
{
	const int width = columns[column].width;

	switch (column) {
	case TOP_GROUP:
		return output_string(json_object_get(row->vm, "group"));
	case TOP_STATE:
		return output_string(json_object_get(row->vm, "state"));
	case TOP_RESIDENT:
		return number_cell(mib_of(row->vm, "resident_bytes"), width);
	case TOP_RECLAIMED:
		return number_cell(mib_of(row->vm, "reclaimed_bytes"), width);
	case TOP_POTENTIAL:
		return number_cell(mib_of(row->vm, "potential_bytes"), width);
	case TOP_BREAKS:
		return number_cell(row->breaks_per_second, width);
	case TOP_CPU:
		return number_cell(row->cpu_percent, width);
	case TOP_NAME:
	case TOP_COLUMNS:
		break;
	}
	return name_cell(row->vm);
}

static int column_width(enum top_column column, int width)
{
	if (column != TOP_NAME)
		return columns[column].width;
	for (int i = TOP_NAME + 1; i < TOP_COLUMNS; i++)
		width -= columns[i].width + 1;
	return width > 0 ? width : 0;
}

void top_headings_line(FILE *out, int width)
{
	for (enum top_column column = 0; column < TOP_COLUMNS; column++) {
		fputs(column ? " " : "", out);
		put_clean(out, columns[column].heading, column_width(column, width),
			columns[column].right);
	}
}

void top_row_line(FILE *out, const struct top_row *row, int width)
{
	for (enum top_column column = 0; column < TOP_COLUMNS; column++) {
		const struct output_cell cell = row_cell(row, column);

		fputs(column ? " " : "", out);
		put_clean(out, cell.text, column_width(column, width), columns[column].right);
	}
}

/* ---- the header ---- */

static void put_states(FILE *out, const json_t *vms)
{
	static const char *const states[] = { "folded", "folding", "waiting", "blocked", "released",
		"observed", "ineligible", "off" };
	const char *between = ": ";

	fprintf(out, "%zu VM%s", json_array_size(vms), json_array_size(vms) == 1 ? "" : "s");
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		const json_t *vm;
		size_t index, count = 0;

		json_array_foreach(vms, index, vm)
		{
			const char *state = json_string_value(json_object_get(vm, "state"));

			count += state && strcmp(state, states[i]) == 0;
		}
		if (count)
			fprintf(out, "%s%zu %s", between, count, states[i]);
		between = count ? ", " : between;
	}
}

static void put_first_line(FILE *out, const struct top_model *model, double now)
{
	const double age = now - top_status_time(model->status);

	fputs("pagefold top   ", out);
	if (isnan(age))
		fputs("no pass has finished yet", out);
	else
		fprintf(out, "pass %s, %.0f s ago",
			output_integer(
				json_object_get(json_object_get(model->status, "pass"), "number"))
				.text,
			age > 0 ? age : 0);
	fputs("   ", out);
	put_states(out, json_object_get(model->status, "vms"));
}

/* "23.5G": the header has no room for the megabytes of a large host. */
static struct output_cell size_cell(const json_t *object, const char *key)
{
	static const char suffixes[] = "MGTP";
	struct output_cell cell = { "-" };
	double size = mib_of(object, key);
	size_t suffix = 0;

	if (isnan(size))
		return cell;
	for (; fabs(size) >= 1023.95 && suffix < strlen(suffixes) - 1; suffix++)
		size /= 1024;
	(void)snprintf(cell.text, sizeof(cell.text), "%.1f%c", size, suffixes[suffix]);
	return cell;
}

static void put_memory_line(FILE *out, const json_t *host)
{
	const struct output_cell memory = size_cell(host, "memory_bytes");
	const struct output_cell available = size_cell(host, "available_bytes");
	const struct output_cell driver = output_string(json_object_get(host, "ksm_driver"));
	const struct output_cell group = output_string(json_object_get(host, "active_group"));

	fprintf(out, "Memory     %s, %s available   ksmd: %s   group: %s", memory.text,
		available.text, driver.text, group.text);
}

static void put_savings_line(FILE *out, const json_t *savings)
{
	static const char *const keys[] = { "reclaimed_bytes", "reclaimed_zero_bytes", "net_bytes",
		"potential_bytes", "exposure_bytes" };
	struct output_cell cells[ARRAY_SIZE(keys)];

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		cells[i] = size_cell(savings, keys[i]);
	fprintf(out, "Reclaimed  %s, zeros %s, net %s   potential %s   exposure %s",
		cells[0].text, cells[1].text, cells[2].text, cells[3].text, cells[4].text);
}

static void put_cost_line(FILE *out, const struct top_model *model)
{
	const json_t *cost = json_object_get(model->status, "cost");
	const struct output_cell cpu = number_cell(model->cpu_percent, 6);
	const struct output_cell breaks = number_cell(model->breaks_per_second, 8);
	const struct output_cell ns = output_integer(json_object_get(cost, "cow_break_ns_p50"));
	const struct output_cell stall =
		output_seconds(json_object_get(cost, "stall_seconds_estimate"));
	const struct output_cell huge = output_integer(json_object_get(cost, "hugepages_lost"));

	fprintf(out, "Cost       CPU %s %%   breaks %s/s, %s ns each   stall %s s   huge pages %s",
		cpu.text, breaks.text, ns.text, stall.text, huge.text);
}

/* Writes the line whole into a text, then what of it fits. */
void top_header_line(FILE *out, const struct top_model *model, int line, double now, int width)
{
	_cleanup_free_ char *text = NULL;
	size_t length = 0;
	FILE *whole = open_memstream(&text, &length);

	if (!whole)
		return;
	if (line == 0)
		put_first_line(whole, model, now);
	else if (line == 1)
		put_memory_line(whole, json_object_get(model->status, "host"));
	else if (line == 2)
		put_savings_line(whole, json_object_get(model->status, "savings"));
	else
		put_cost_line(whole, model);
	if (fclose(whole) == 0)
		put_clean(out, text, width, false);
}

void top_problem_line(FILE *out, const struct top_model *model, int width)
{
	const json_t *host = json_object_get(model->status, "host");
	const json_t *blocked = json_object_get(host, "blocked_by");
	const json_t *warnings = json_object_get(host, "warnings");
	const bool paused = json_is_true(json_object_get(host, "paused"));
	const size_t count = paused + json_array_size(blocked) + json_array_size(warnings);
	const bool is_blocked = json_array_size(blocked) > 0;
	const char *sentence =
		json_string_value(json_array_get(is_blocked ? blocked : warnings, 0));
	_cleanup_free_ char *text = NULL;

	if (paused)
		sentence = "scanning and folding; pagefold resume goes on";
	if (count == 0 || asprintf(&text, "%s%s%s",
				  paused       ? "Paused     "
				  : is_blocked ? "Blocked    "
					       : "Warning    ",
				  count > 1 ? "(one of several, see pagefold status) " : "",
				  sentence ? sentence : "") < 0)
		text = NULL;
	top_put(out, text ? text : "", width, false);
}
