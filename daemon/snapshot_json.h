/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A snapshot in the field names of the API's contract. All return NULL when out of memory. */
#ifndef PAGEFOLD_DAEMON_SNAPSHOT_JSON_H
#define PAGEFOLD_DAEMON_SNAPSHOT_JSON_H

#include <jansson.h>

#include "daemon/json_text.h"
#include "daemon/snapshot.h"

json_t *snapshot_status_json(const struct snapshot *snapshot);
json_t *snapshot_vms_json(const struct snapshot *snapshot);
json_t *snapshot_vm_json(const struct snapshot_vm *vm, bool with_extents);
json_t *snapshot_plan_json(const struct snapshot *snapshot);
json_t *snapshot_policy_json(const struct snapshot_vm *vm);

#endif
