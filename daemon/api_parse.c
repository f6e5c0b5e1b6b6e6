// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/api_parse.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *found = c ? strchr(digits, c | ((c >= 'A' && c <= 'F') ? 0x20 : 0)) : NULL;

	return found ? (int)(found - digits) : -EINVAL;
}

/* One byte of the path, decoded; *url is moved behind it. */
static int decode_byte(const char **url)
{
	int high, low;

	if (**url != '%')
		return (unsigned char)*(*url)++;
	high = hex_digit((*url)[1]);
	low = high < 0 ? high : hex_digit((*url)[2]);
	if (high < 0 || low < 0 || (high == 0 && low == 0))
		return -EINVAL;
	*url += 3;
	return high * 16 + low;
}

int api_path_parse(const char *url, struct api_path *ret)
{
	struct api_path path = { 0 };
	size_t length = 0;

	if (*url != '/')
		return -EINVAL;
	while (*url) {
		const bool separator = *url == '/'; /* an encoded one is part of a name */
		const int byte = decode_byte(&url);

		if (byte < 0)
			return byte;
		if (separator) {
			if (path.count == API_SEGMENTS_MAX)
				return -E2BIG;
			path.count++;
			length = 0;
			continue;
		}
		if (length == API_SEGMENT_BYTES - 1)
			return -E2BIG;
		path.segments[path.count - 1][length++] = (char)byte;
	}
	*ret = path;
	return 0;
}

static int set_keys(json_t *object, struct policy *policy, char reason[API_REASON_BYTES])
{
	const char *key;
	json_t *value;
	int r;

	json_object_foreach(object, key, value)
	{
		if (!json_is_string(value)) {
			(void)snprintf(reason, API_REASON_BYTES, "\"%.40s\" must be a string", key);
			return -EINVAL;
		}
		r = policy_set_key(policy, key, json_string_value(value), reason);
		if (r < 0)
			return -EINVAL;
	}
	return 0;
}

int api_policy_merge(
	const char *body, size_t length, struct policy *policy, char reason[API_REASON_BYTES])
{
	struct policy merged = *policy;
	json_error_t error;
	json_t *object = json_loadb(body, length, JSON_REJECT_DUPLICATES, &error);
	int r = -EINVAL;

	if (!object)
		(void)snprintf(reason, API_REASON_BYTES, "the body is no JSON: %.150s", error.text);
	else if (!json_is_object(object) || json_object_size(object) == 0)
		(void)snprintf(reason, API_REASON_BYTES,
			"the body must be a JSON object with at least one of mode, group, hook and "
			"hugepages");
	else
		r = set_keys(object, &merged, reason);
	json_decref(object);
	if (r == 0)
		*policy = merged;
	return r;
}

bool api_vm_is_called(const struct snapshot_vm *vm, const char *name)
{
	char pid[sizeof("pid:-2147483648")];

	(void)snprintf(pid, sizeof(pid), "pid:%d", (int)vm->pid);
	return strcmp(name, pid) == 0 || (vm->name && strcmp(name, vm->name) == 0) ||
	       (vm->uuid && strcasecmp(name, vm->uuid) == 0);
}

int api_find_vm(const struct snapshot *snapshot, const char *name, size_t *ret_index)
{
	size_t found = snapshot->vm_count;

	for (size_t i = 0; i < snapshot->vm_count; i++) {
		if (!api_vm_is_called(&snapshot->vms[i], name))
			continue;
		if (found != snapshot->vm_count)
			return -ENOTUNIQ;
		found = i;
	}
	if (found == snapshot->vm_count)
		return -ENOENT;
	*ret_index = found;
	return 0;
}
