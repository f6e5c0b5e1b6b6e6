/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the API reads from requests: pure, so that it can be tested and fuzzed without a socket. */
#ifndef PAGEFOLD_DAEMON_API_PARSE_H
#define PAGEFOLD_DAEMON_API_PARSE_H

#include <stddef.h>

#include "daemon/policy.h"
#include "daemon/snapshot.h"

#define API_SEGMENTS_MAX  5
#define API_SEGMENT_BYTES 256 /* a QEMU guest's name is rarely longer than a host name */
#define API_REASON_BYTES  256

/* "/v1/vms/a%20b" is { "v1", "vms", "a b" }. */
struct api_path {
	char segments[API_SEGMENTS_MAX][API_SEGMENT_BYTES];
	size_t count;
};

/* -EINVAL: bad percent code, NUL, or no slash in front; -E2BIG: more or longer segments than any path
 * of the API has. */
int api_path_parse(const char *url, struct api_path *ret);

/*
 * Lays the keys of a JSON object (mode, group, hook, hugepages: strings) over *policy. -EINVAL with a
 * sentence in reason, *policy then untouched.
 */
int api_policy_merge(
	const char *body, size_t length, struct policy *policy, char reason[API_REASON_BYTES]);

/*
 * The VM or process called name: its name, its uuid or pid:N. -ENOENT, or -ENOTUNIQ where several are.
 */
int api_find_vm(const struct snapshot *snapshot, const char *name, size_t *ret_index);
bool api_vm_is_called(const struct snapshot_vm *vm, const char *name);

#endif
