// SPDX-License-Identifier: GPL-2.0-or-later
#include "tools/pagefold/output.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"

#define MIB (1024.0 * 1024.0)

/* How many bytes at text a terminal must not see: C0, DEL, C1 (as UTF-8 or as a lone byte, which is
 * what is left of it in an 8-bit terminal), and the bidirectional overrides that make a name look
 * like another. 0: harmless. */
static size_t unsafe_length(const unsigned char *text)
{
	if (text[0] < ' ' || text[0] == 0x7f)
		return 1;
	if (text[0] == 0xc2 && text[1] >= 0x80 && text[1] <= 0x9f)
		return 2;
	if (text[0] == 0xe2 && text[1] == 0x80 && text[2] >= 0xaa && text[2] <= 0xae)
		return 3; /* U+202A to U+202E */
	if (text[0] == 0xe2 && text[1] == 0x81 && text[2] >= 0xa6 && text[2] <= 0xa9)
		return 3; /* U+2066 to U+2069 */
	return 0;
}

void output_text(FILE *stream, const char *text)
{
	const unsigned char *byte = (const unsigned char *)(text ? text : "-");

	while (*byte) {
		const size_t unsafe = unsafe_length(byte);

		fputc(unsafe ? '?' : *byte, stream);
		byte += unsafe ? unsafe : 1;
	}
}

void output_json(const json_t *json)
{
	/* jansson writes C0 escaped, but nothing else: on a terminal, write only ASCII. */
	const size_t ascii = isatty(STDOUT_FILENO) ? JSON_ENSURE_ASCII : 0;

	if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(12) | ascii) == 0)
		fputc('\n', stdout);
}

void output_json_line(const json_t *json)
{
	if (json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12) | JSON_ENSURE_ASCII) ==
		0)
		fputc('\n', stdout);
}

struct output_cell output_string(const json_t *value)
{
	struct output_cell cell;
	_cleanup_free_ char *printable = NULL;
	const char *text = json_string_value(value);
	size_t length = 0;
	FILE *stream = open_memstream(&printable, &length);

	if (stream) {
		output_text(stream, text && *text ? text : NULL);
		(void)fclose(stream);
	}
	(void)snprintf(cell.text, sizeof(cell.text), "%s", printable ? printable : "?");
	length = strlen(cell.text);
	if (length == sizeof(cell.text) - 1) { /* perhaps cut within a character */
		while (length > 0 && ((unsigned char)cell.text[length - 1] & 0xc0) == 0x80)
			length--;
		if (length > 0 && (cell.text[length - 1] & 0x80))
			length--;
		cell.text[length] = '\0';
	}
	return cell;
}

struct output_cell output_integer(const json_t *value)
{
	struct output_cell cell = { "-" };

	if (json_is_integer(value))
		(void)snprintf(
			cell.text, sizeof(cell.text), "%lld", (long long)json_integer_value(value));
	return cell;
}

struct output_cell output_mib(const json_t *bytes)
{
	struct output_cell cell = { "-" };

	if (json_is_integer(bytes))
		(void)snprintf(cell.text, sizeof(cell.text), "%.1f",
			(double)json_integer_value(bytes) / MIB);
	return cell;
}

struct output_cell output_seconds(const json_t *seconds)
{
	struct output_cell cell = { "-" };

	if (json_is_number(seconds))
		(void)snprintf(cell.text, sizeof(cell.text), "%.2f", json_number_value(seconds));
	return cell;
}

struct output_cell output_short_seconds(const json_t *seconds)
{
	struct output_cell cell = { "-" };

	if (json_is_number(seconds))
		(void)snprintf(cell.text, sizeof(cell.text), "%.4f", json_number_value(seconds));
	return cell;
}

struct output_cell output_error_percent(const json_t *percent)
{
	struct output_cell cell = { "-" };

	if (json_is_number(percent))
		(void)snprintf(cell.text, sizeof(cell.text), "%+.1f", json_number_value(percent));
	return cell;
}

struct output_cell output_address(const json_t *value)
{
	struct output_cell cell;

	(void)snprintf(cell.text, sizeof(cell.text), "%#llx",
		(unsigned long long)json_integer_value(value));
	return cell;
}

struct output_cell output_yes_or_no(const json_t *value)
{
	static const struct output_cell yes = { "yes" }, no = { "no" };

	return json_is_true(value) ? yes : no;
}

/* In characters; wide ones are rare enough in names to be counted as one. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text; text++)
		if (((unsigned char)*text & 0xc0) != 0x80)
			width++;
	return width;
}

static void print_cell(const char *text, bool right, size_t width, bool last)
{
	const size_t own = width_of(text);
	const int blanks = own < width ? (int)(width - own) : 0;

	if (right)
		printf("%*s%s", blanks, "", text);
	else
		printf("%s%*s", text, last ? 0 : blanks, "");
	fputs(last ? "\n" : "  ", stdout);
}

/* Cells are made twice, for their widths and to be printed, rather than kept: a large VM has
 * hundreds of thousands of extents. */
void output_table(const struct output_column columns[], size_t count, const json_t *rows)
{
	size_t widths[OUTPUT_COLUMNS_MAX];
	const json_t *row;
	size_t index;

	for (size_t i = 0; i < count; i++)
		widths[i] = width_of(columns[i].heading);
	json_array_foreach(rows, index, row) for (size_t i = 0; i < count; i++)
	{
		const size_t width =
			width_of(columns[i].cell(json_object_get(row, columns[i].key)).text);

		widths[i] = width > widths[i] ? width : widths[i];
	}
	for (size_t i = 0; i < count; i++)
		print_cell(columns[i].heading, columns[i].right, widths[i], i + 1 == count);
	json_array_foreach(rows, index, row) for (size_t i = 0; i < count; i++)
		print_cell(columns[i].cell(json_object_get(row, columns[i].key)).text,
			columns[i].right, widths[i], i + 1 == count);
}
