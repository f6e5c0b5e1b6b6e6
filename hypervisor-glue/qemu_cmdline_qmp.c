// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Where QEMU itself listens for clients of QMP: -qmp unix:PATH,server=on, or a -chardev that a -mon in
 * mode=control names. libvirt's own ("charmonitor") is libvirt's alone.
 */
#include <jansson.h>
#include <string.h>

#include "common/cleanup.h"
#include "hypervisor-glue/qemu_options.h"

#define LIBVIRT_MONITOR "charmonitor"

/* Proxmox has two. */
#define MONITORS_MOST 8

struct monitors {
	char ids[MONITORS_MOST][QEMU_VALUE_BYTES];
	size_t count;
};

static void take_path(const char *path, char ret[VMM_QMP_PATH_BYTES])
{
	const size_t length = strlen(path);

	/* A relative path is relative to QEMU, not to us. */
	if (!*ret && *path == '/' && length < VMM_QMP_PATH_BYTES)
		memcpy(ret, path, length + 1);
}

static void take_qmp(const char *text, char ret[VMM_QMP_PATH_BYTES])
{
	static const char scheme[] = "unix:";
	char path[QEMU_VALUE_BYTES];

	if (!strncmp(text, scheme, strlen(scheme)) && qemu_option_is_on(text, "server") &&
		qemu_option_value(text + strlen(scheme), "path", true, path))
		take_path(path, ret);
}

static void take_monitor(const char *text, struct monitors *monitors)
{
	char id[QEMU_VALUE_BYTES], mode[QEMU_VALUE_BYTES];

	if (monitors->count == MONITORS_MOST || !qemu_option_value(text, "chardev", true, id) ||
		!qemu_option_value(text, "mode", false, mode) || strcmp(mode, "control") != 0 ||
		!strcmp(id, LIBVIRT_MONITOR))
		return;
	memcpy(monitors->ids[monitors->count++], id, sizeof(id));
}

static bool is_monitor(const struct monitors *monitors, const char *id)
{
	for (size_t i = 0; i < monitors->count; i++)
		if (!strcmp(monitors->ids[i], id))
			return true;
	return false;
}

static const char *json_path(const json_t *chardev)
{
	json_t *socket = json_object_get(json_object_get(chardev, "backend"), "data");
	json_t *address = json_object_get(socket, "addr");
	const char *type = json_string_value(json_object_get(address, "type"));

	/* "server" is on where it is not given (qapi/char.json). */
	if (!type || strcmp(type, "unix") != 0 || json_is_false(json_object_get(socket, "server")))
		return NULL;
	return json_string_value(json_object_get(json_object_get(address, "data"), "path"));
}

static void take_json_chardev(
	const char *text, const struct monitors *monitors, char ret[VMM_QMP_PATH_BYTES])
{
	json_t *chardev = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	const char *id = json_string_value(json_object_get(chardev, "id"));
	const char *path = json_path(chardev);

	if (id && path && is_monitor(monitors, id))
		take_path(path, ret);
	json_decref(chardev);
}

static void take_chardev(
	const char *text, const struct monitors *monitors, char ret[VMM_QMP_PATH_BYTES])
{
	char backend[QEMU_VALUE_BYTES], id[QEMU_VALUE_BYTES], path[QEMU_VALUE_BYTES];

	if (*text == '{')
		take_json_chardev(text, monitors, ret);
	else if (qemu_option_value(text, "backend", true, backend) && !strcmp(backend, "socket") &&
		 qemu_option_value(text, "id", false, id) && is_monitor(monitors, id) &&
		 qemu_option_is_on(text, "server") && qemu_option_value(text, "path", false, path))
		take_path(path, ret);
}

static bool is_option(const char *argument, const char *name)
{
	return *argument == '-' && !strcmp(argument + (argument[1] == '-' ? 2 : 1), name);
}

void qemu_cmdline_find_qmp(const char *cmdline, size_t length, char ret[VMM_QMP_PATH_BYTES])
{
	struct monitors monitors = { .count = 0 };

	*ret = '\0';
	/* A -mon may come before or after the -chardev that it names. */
	for (int round = 0; round < 2; round++) {
		const char *argument, *value;
		size_t offset = 0;

		while ((argument = qemu_argument_next(cmdline, length, &offset))) {
			const bool mon = is_option(argument, "mon");
			const bool chardev = is_option(argument, "chardev");

			if (!mon && !chardev && !is_option(argument, "qmp"))
				continue;
			value = qemu_argument_next(cmdline, length, &offset);
			if (!value)
				break;
			if (mon && round == 0)
				take_monitor(value, &monitors);
			else if (chardev && round == 1)
				take_chardev(value, &monitors, ret);
			else if (!mon && !chardev && round == 0)
				take_qmp(value, ret);
		}
	}
}
