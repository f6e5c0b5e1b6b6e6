// SPDX-License-Identifier: GPL-2.0-or-later
/* What the API reads of a request: the path up to the first line end, then the body of a PUT. */
#include "daemon/api_internal.h"
#include "daemon/api_parse.h"
#include "tests/fuzz/fuzz.h"

static void check_path(const char *url)
{
	struct api_path path;

	if (api_path_parse(url, &path) < 0)
		return;
	fuzz_check(url[0] == '/' && path.count >= 1 && path.count <= API_SEGMENTS_MAX);
	for (size_t i = 0; i < path.count; i++)
		fuzz_check(memchr(path.segments[i], '\0', API_SEGMENT_BYTES) != NULL);
	(void)api_route_find(&path);
}

static void check_body(const char *body, size_t length)
{
	struct policy policy, before;
	char reason[API_REASON_BYTES] = "";

	policy_init(&policy, MODE_OBSERVE);
	before = policy;
	if (api_policy_merge(body, length, &policy, reason) < 0) {
		fuzz_check(memcmp(&policy, &before, sizeof(policy)) == 0);
		fuzz_check(*reason && memchr(reason, '\0', sizeof(reason)) != NULL);
		return;
	}
	fuzz_check(*policy.group && strcmp(policy.group, "auto") != 0);
	fuzz_check(strspn(policy.group,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
		   strlen(policy.group));
	fuzz_check(policy_mode_name(policy.mode) && policy_hook_name(policy.hook) &&
		   policy_hugepages_name(policy.hugepages));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *const text = fuzz_string(data, size);
	const size_t path_length = strcspn(text, "\n");

	text[path_length] = '\0';
	check_path(text);
	if (path_length < size)
		check_body(text + path_length + 1, size - path_length - 1);
	free(text);
	return 0;
}
