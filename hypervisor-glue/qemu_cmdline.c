// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The few options of QEMU's command line that say what a VM is. QEMU's own rules hold (qemu-options
 * and util/keyval.c): "key=value,key=value" where the first key may be left out, ",," for a comma,
 * the last of repeated values wins, sizes as qemu_strtosz() reads them.
 */
#include "hypervisor-glue/vmm.h"

#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "hypervisor-glue/qemu_options.h"

#define VALUE_BYTES QEMU_VALUE_BYTES

/* Memory sizes are rounded up to this by QEMU's machine code. */
#define RAM_ALIGN_BYTES UINT64_C(8192)

/* The next "key=value" or "value" of an option's text, commas unescaped. False at the end. */
static bool next_item(const char **inout_text, char ret[VALUE_BYTES])
{
	const char *text = *inout_text;
	size_t length = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text == ',' && *++text != ',')
			break;
		if (length < VALUE_BYTES)
			ret[length++] = *text;
	}
	if (length == VALUE_BYTES) /* too long: as good as empty */
		length = 0;
	ret[length] = '\0';
	*inout_text = text;
	return true;
}

bool qemu_option_value(
	const char *text, const char *key, bool first_may_be, char ret[QEMU_VALUE_BYTES])
{
	const size_t key_length = strlen(key);
	char item[VALUE_BYTES];
	bool found = false;

	for (bool first = true; next_item(&text, item); first = false) {
		const char *value = NULL;

		if (!strncmp(item, key, key_length) && item[key_length] == '=')
			value = item + key_length + 1;
		else if (first && first_may_be && !strchr(item, '='))
			value = item;
		if (!value)
			continue;
		memcpy(ret, value, strlen(value) + 1);
		found = true;
	}
	return found;
}

bool qemu_option_is_on(const char *text, const char *key)
{
	const size_t key_length = strlen(key);
	char item[VALUE_BYTES];
	bool on = false;

	while (next_item(&text, item)) {
		if (strncmp(item, key, key_length) != 0)
			continue;
		if (!item[key_length])
			on = true;
		else if (item[key_length] == '=')
			on = !strcmp(item + key_length + 1, "on") ||
			     !strcmp(item + key_length + 1, "yes") ||
			     !strcmp(item + key_length + 1, "true") ||
			     !strcmp(item + key_length + 1, "y");
	}
	return on;
}

/* Bytes of the UTF-8 sequence at text, 0 where there is none; control characters are none. */
static size_t utf8_length(const char *text)
{
	static const struct {
		unsigned char mask, lead;
		uint32_t least;
	} forms[] = {
		{ 0x80, 0x00, 0x20 },
		{ 0xe0, 0xc0, 0xa0 }, /* U+0080 to U+009F are control characters */
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};
	const unsigned char *const bytes = (const unsigned char *)text;

	for (size_t form = 0; form < ARRAY_SIZE(forms); form++) {
		uint32_t code = bytes[0] & (unsigned char)~forms[form].mask;

		if ((bytes[0] & forms[form].mask) != forms[form].lead)
			continue;
		for (size_t i = 1; i <= form; i++) {
			if ((bytes[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (bytes[i] & 0x3f);
		}
		if (code < forms[form].least || code == 0x7f || code > 0x10ffff ||
			(code >= 0xd800 && code <= 0xdfff))
			return 0;
		return form + 1;
	}
	return 0;
}

static void sanitize(char *text)
{
	while (*text) {
		const size_t length = utf8_length(text);

		if (length == 0)
			*text = '?';
		text += length ? length : 1;
	}
}

static void parse_name(const char *text, struct qemu_cmdline *ret)
{
	char name[VALUE_BYTES];

	if (!qemu_option_value(text, "guest", true, name))
		return;
	sanitize(name);
	memcpy(ret->name, name, sizeof(name));
}

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void parse_uuid(const char *text, struct qemu_cmdline *ret)
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	char uuid[VMM_UUID_BYTES] = "";
	size_t i;

	for (i = 0; form[i]; i++) {
		if (form[i] == 'x' ? !is_hex(text[i]) : text[i] != '-')
			break;
		uuid[i] =
			(text[i] >= 'A' && text[i] <= 'F') ? (char)(text[i] - 'A' + 'a') : text[i];
	}
	if (form[i] || text[i])
		uuid[0] = '\0';
	memcpy(ret->uuid, uuid, sizeof(uuid));
}

static uint64_t suffix_bytes(char suffix)
{
	static const char suffixes[] = "bkmgtpe";
	const char *const found =
		suffix ? strchr(suffixes, suffix >= 'A' && suffix <= 'Z' ? suffix + 32 : suffix)
		       : NULL;

	return found ? UINT64_C(1) << (10 * (found - suffixes)) : 0;
}

/* Digits of value; false on overflow or where there are none. */
static bool take_digits(const char **inout_text, uint64_t base, uint64_t *ret)
{
	const char *text = *inout_text;
	uint64_t value = 0;

	for (; base == 16 ? is_hex(*text) : (*text >= '0' && *text <= '9'); text++) {
		const char c = *text;
		const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;

		if (__builtin_mul_overflow(value, base, &value) ||
			__builtin_add_overflow(value, (uint64_t)digit, &value))
			return false;
	}
	if (text == *inout_text)
		return false;
	*inout_text = text;
	*ret = value;
	return true;
}

/* ".5" as a part of unit bytes, rounded; what is beyond 15 digits does not move a page. */
static uint64_t take_fraction(const char **inout_text, uint64_t unit)
{
	const char *text = *inout_text;
	double value = 0, weight = 0.1;

	if (*text != '.')
		return 0;
	for (text++; *text >= '0' && *text <= '9'; text++, weight /= 10)
		value += weight * (*text - '0');
	*inout_text = text;
	return (uint64_t)(value * (double)unit + 0.5);
}

/* "1024" (MiB), "1G", "1.5G", "0x400"; 0 where it is none of these. */
static uint64_t parse_size(const char *text)
{
	const bool hex = text[0] == '0' && (text[1] | 0x20) == 'x';
	const size_t length = strlen(text);
	uint64_t whole, bytes, unit = UINT64_C(1) << 20;

	if (hex)
		text += 2;
	else if (length && suffix_bytes(text[length - 1]))
		unit = suffix_bytes(text[length - 1]);
	if (!take_digits(&text, hex ? 16 : 10, &whole))
		return 0;
	if (hex && *text)
		unit = suffix_bytes(*text);
	if (__builtin_mul_overflow(whole, unit, &bytes))
		return 0;
	if (!hex && __builtin_add_overflow(bytes, take_fraction(&text, unit), &bytes))
		return 0;
	if (*text && suffix_bytes(*text))
		text++;
	if (*text || bytes > UINT64_MAX - RAM_ALIGN_BYTES)
		return 0;
	return (bytes + RAM_ALIGN_BYTES - 1) & ~(RAM_ALIGN_BYTES - 1);
}

static void parse_memory(const char *text, struct qemu_cmdline *ret)
{
	char size[VALUE_BYTES];

	if (qemu_option_value(text, "size", true, size))
		ret->ram_bytes = parse_size(size);
}

static bool is_confidential_type(const char *type, size_t length)
{
	static const char *const types[] = {
		"sev-guest",
		"sev-snp-guest",
		"tdx-guest",
		"s390-pv-guest",
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (strlen(types[i]) == length && !memcmp(type, types[i], length))
			return true;
	return false;
}

/* libvirt writes -object as JSON: {"qom-type":"sev-guest","id":"lsec0",...} */
static void parse_json_object(const char *text, struct qemu_cmdline *ret)
{
	const char *type = strstr(text, "\"qom-type\"");

	if (!type)
		return;
	type += strlen("\"qom-type\"");
	type += strspn(type, " \t:");
	if (*type == '"' && is_confidential_type(type + 1, strcspn(type + 1, "\"")))
		ret->confidential = true;
}

static void parse_object(const char *text, struct qemu_cmdline *ret)
{
	char type[VALUE_BYTES];

	if (*text == '{')
		parse_json_object(text, ret);
	else if (qemu_option_value(text, "qom-type", true, type) &&
		 is_confidential_type(type, strlen(type)))
		ret->confidential = true;
}

static void parse_machine(const char *text, struct qemu_cmdline *ret)
{
	char ignored[VALUE_BYTES];

	/* memory-encryption is what it was called before QEMU 6.0. */
	if (qemu_option_value(text, "confidential-guest-support", false, ignored) ||
		qemu_option_value(text, "memory-encryption", false, ignored))
		ret->confidential = true;
}

/* libvirt names the monitor it talks through (src/qemu/qemu_command.c), in every version alike. */
static void parse_chardev(const char *text, struct qemu_cmdline *ret)
{
	char id[VALUE_BYTES];

	if (qemu_option_value(text, "id", false, id) && !strcmp(id, "charmonitor"))
		ret->by_libvirt = true;
}

static void parse_incoming(const char *text, struct qemu_cmdline *ret)
{
	(void)text;
	ret->incoming = true;
}

typedef void (*option_parser)(const char *text, struct qemu_cmdline *ret);

static option_parser parser_of(const char *argument)
{
	static const struct {
		const char *name;
		option_parser parse;
	} options[] = {
		{ "name", parse_name },
		{ "uuid", parse_uuid },
		{ "m", parse_memory },
		{ "object", parse_object },
		{ "machine", parse_machine },
		{ "M", parse_machine },
		{ "incoming", parse_incoming },
		{ "chardev", parse_chardev },
	};

	if (*argument != '-')
		return NULL;
	argument += argument[1] == '-' ? 2 : 1; /* QEMU takes both */
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (!strcmp(argument, options[i].name))
			return options[i].parse;
	return NULL;
}

const char *qemu_argument_next(const char *cmdline, size_t length, size_t *inout_offset)
{
	const char *const argument = cmdline + *inout_offset;
	const char *const nul = memchr(argument, '\0', length - *inout_offset);

	if (!nul)
		return NULL;
	*inout_offset += (size_t)(nul - argument) + 1;
	return argument;
}

void qemu_cmdline_parse(const char *cmdline, size_t length, struct qemu_cmdline *ret)
{
	struct qemu_cmdline parsed = { 0 };
	const char *argument;
	size_t offset = 0;

	while ((argument = qemu_argument_next(cmdline, length, &offset))) {
		const option_parser parse = parser_of(argument);
		const char *const value = parse ? qemu_argument_next(cmdline, length, &offset) : NULL;

		if (value)
			parse(value, &parsed);
	}
	qemu_cmdline_find_qmp(cmdline, length, parsed.qmp_path);
	*ret = parsed;
}
