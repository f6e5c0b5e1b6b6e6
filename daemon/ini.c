// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/ini.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"

/* inih's own limits: a line with its NUL, and a section name without. */
#define LINE_BYTES       200
#define SECTION_NAME_MAX 49
/* A file with more than this is no file that a person keeps; it also bounds the search for
 * duplicates. */
#define SECTIONS_MAX     4096
#define SECTION_KEYS_MAX 64

struct name_list {
	char **names;
	size_t count;
};

/* The state of one file's reading. inih calls the reader for a line, then the handler for the pair
 * in it, so `line` is the handler's line too. */
struct reading {
	FILE *stream;
	const char *file;
	ini_item_fn item;
	void *data;
	unsigned line;
	char section[SECTION_NAME_MAX + 1];
	struct name_list sections, keys;
	int error; /* 0 or -errno: the first one ends the reading */
	char reason[INI_REASON_BYTES];
};

int ini_error(char **ret_error, int error, const char *file, unsigned line, const char *sentence)
{
	char *text = NULL;
	const int length = line ? asprintf(&text, "%s:%u: %s", file, line, sentence)
				: asprintf(&text, "%s: %s", file, sentence);

	*ret_error = length < 0 ? NULL : text;
	return error;
}

static void names_clear(struct name_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	*list = (struct name_list){ 0 };
}

static int names_add(struct name_list *list, const char *name, size_t max)
{
	char **names;

	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->names[i], name) == 0)
			return -EEXIST;
	if (list->count == max)
		return -E2BIG;
	names = reallocarray(list->names, list->count + 1, sizeof(*names));
	if (!names)
		return -ENOMEM;
	list->names = names;
	names[list->count] = strdup(name);
	if (!names[list->count])
		return -ENOMEM;
	list->count++;
	return 0;
}

static int _printf_(3, 4) fail(struct reading *reading, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(reading->reason, sizeof(reading->reason), format, arguments);
	va_end(arguments);
	reading->error = error;
	return error;
}

/* One line without its end. 1, 0 at the end of the file, or -errno. */
static int read_line(struct reading *reading, char line[LINE_BYTES])
{
	size_t length = 0;
	int c;

	reading->line++;
	while ((c = getc_unlocked(reading->stream)) != EOF && c != '\n') {
		if (c == '\0')
			return fail(reading, -EINVAL, "a NUL byte: this is not a text file");
		if (length == LINE_BYTES - 1)
			return fail(reading, -EINVAL, "the line is longer than %d bytes",
				LINE_BYTES - 1);
		line[length++] = (char)c;
	}
	if (ferror(reading->stream)) {
		reading->line = 0;
		return fail(reading, -errno, "cannot be read: %s", strerror(errno));
	}
	if (c == EOF && length == 0)
		return 0;
	if (length > 0 && line[length - 1] == '\r')
		length--;
	line[length] = '\0';
	return 1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Takes off a byte-order mark, comments and blanks at the end. */
static void strip_line(char *line, bool first)
{
	size_t length;

	if (first && strncmp(line, "\xEF\xBB\xBF", 3) == 0)
		memmove(line, line + 3, strlen(line + 3) + 1);
	for (char *c = line; *c; c++)
		if ((*c == '#' || *c == ';') && (c == line || is_blank(c[-1]))) {
			*c = '\0';
			break;
		}
	length = strlen(line);
	while (length > 0 && is_blank(line[length - 1]))
		line[--length] = '\0';
}

static int deliver(struct reading *reading, const char *key, const char *value)
{
	const struct ini_item item = {
		.file = reading->file,
		.line = reading->line,
		.section = reading->section,
		.key = key,
		.value = value,
	};

	reading->reason[0] = '\0';
	reading->error = reading->item(reading->data, &item, reading->reason);
	if (reading->error && !reading->reason[0])
		return fail(reading, reading->error, "%s", strerror(-reading->error));
	return reading->error;
}

static int begin_section(struct reading *reading, const char *line)
{
	const size_t length = strlen(line) - 2; /* between the brackets */
	int r;

	if (strchr(line, ']') != line + length + 1)
		return fail(
			reading, -EINVAL, "a section is one name in brackets, alone on its line");
	if (length > SECTION_NAME_MAX)
		return fail(reading, -EINVAL, "the section's name is longer than %d bytes",
			SECTION_NAME_MAX);
	memcpy(reading->section, line + 1, length);
	reading->section[length] = '\0';
	r = names_add(&reading->sections, reading->section, SECTIONS_MAX);
	if (r == -EEXIST)
		return fail(reading, -EINVAL, "the section [%s] is there twice", reading->section);
	if (r == -E2BIG)
		return fail(reading, -EINVAL, "more than %d sections in one file", SECTIONS_MAX);
	if (r < 0)
		return fail(reading, r, "out of memory");
	names_clear(&reading->keys);
	return deliver(reading, NULL, NULL);
}

/* Refuses what inih would misread; what passes here, inih reads as it is meant. */
static int check_line(struct reading *reading, const char *line)
{
	for (const char *c = line; *c; c++)
		if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
			return fail(reading, -EINVAL, "a control byte (0x%02x)", (unsigned char)*c);
	if (is_blank(line[0]))
		return fail(reading, -EINVAL, "the line is indented; begin it in the first column");
	if (line[0] == '[')
		return line[1] ? begin_section(reading, line)
			       : fail(reading, -EINVAL, "a section without a name");
	if (line[0] && line[strcspn(line, "=:")] != '=')
		return fail(reading, -EINVAL, "expected \"key = value\" or \"[section]\"");
	return 0;
}

/* inih's reader: fills text, returns NULL to end. */
static char *next_line(char *text, int size, void *stream)
{
	struct reading *reading = stream;
	char line[LINE_BYTES];

	if (reading->error || read_line(reading, line) <= 0)
		return NULL;
	strip_line(line, reading->line == 1);
	if (check_line(reading, line) < 0)
		return NULL;
	if (strlen(line) >= (size_t)size) {
		(void)fail(reading, -EINVAL, "the line is longer than inih's %d bytes", size - 1);
		return NULL;
	}
	memcpy(text, line, strlen(line) + 1);
	return text;
}

/* inih's handler: 1 is success. */
static int on_pair(void *data, _unused_ const char *section, const char *key, const char *value)
{
	struct reading *reading = data;
	int r;

	if (reading->error)
		return 0;
	if (!*key) {
		(void)fail(reading, -EINVAL, "a value without a key");
		return 0;
	}
	r = names_add(&reading->keys, key, SECTION_KEYS_MAX);
	if (r == -EEXIST)
		(void)fail(reading, -EINVAL, "the key \"%s\" is there twice in its section", key);
	else if (r == -E2BIG)
		(void)fail(reading, -EINVAL, "more than %d keys in a section", SECTION_KEYS_MAX);
	else if (r < 0)
		(void)fail(reading, r, "out of memory");
	else
		r = deliver(reading, key, value);
	return r == 0;
}

int ini_read_stream(FILE *stream, const char *file, ini_item_fn item, void *data, char **ret_error)
{
	struct reading reading = { .stream = stream, .file = file, .item = item, .data = data };
	const int bad_line = ini_parse_stream(next_line, &reading, on_pair, &reading);

	names_clear(&reading.sections);
	names_clear(&reading.keys);
	if (reading.error)
		return ini_error(ret_error, reading.error, file, reading.line, reading.reason);
	if (bad_line < 0)
		return ini_error(ret_error, -ENOMEM, file, 0, "out of memory");
	if (bad_line > 0)
		return ini_error(ret_error, -EINVAL, file, (unsigned)bad_line,
			"expected \"key = value\" or \"[section]\"");
	return 0;
}

int ini_read_file(const char *path, ini_item_fn item, void *data, char **ret_error)
{
	_cleanup_fclose_ FILE *stream = fopen(path, "re");
	char sentence[INI_REASON_BYTES];
	const int error = -errno;

	if (stream)
		return ini_read_stream(stream, path, item, data, ret_error);
	(void)snprintf(sentence, sizeof(sentence), "cannot be opened: %s", strerror(-error));
	return ini_error(ret_error, error, path, 0, sentence);
}

static int is_conf_file(const struct dirent *entry)
{
	const size_t length = strlen(entry->d_name);

	return entry->d_name[0] != '.' && length > 5 &&
	       strcmp(entry->d_name + length - 5, ".conf") == 0;
}

/* alphasort() goes by the locale; the order of files must not. */
static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int ini_read_dir(const char *dir, ini_item_fn item, void *data, char **ret_error)
{
	struct dirent **entries = NULL;
	const int count = scandir(dir, &entries, is_conf_file, by_bytes);
	int r = 0;

	if (count < 0 && errno == ENOENT)
		return 0;
	if (count < 0) {
		r = -errno;
		return ini_error(ret_error, r, dir, 0, strerror(-r));
	}
	for (int i = 0; i < count; i++) {
		_cleanup_free_ char *path = NULL;

		if (r == 0 && asprintf(&path, "%s/%s", dir, entries[i]->d_name) < 0) {
			path = NULL;
			r = ini_error(ret_error, -ENOMEM, dir, 0, "out of memory");
		}
		if (r == 0)
			r = ini_read_file(path, item, data, ret_error);
		free(entries[i]);
	}
	free(entries);
	return r;
}
