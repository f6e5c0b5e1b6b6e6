// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/api_internal.h"

#include <errno.h>
#include <string.h>

#include "daemon/metrics_http.h"
#include "daemon/snapshot_json.h"

static void cleanup_snapshot(struct snapshot **snapshot)
{
	*snapshot = snapshot_unref(*snapshot);
}
#define _cleanup_snapshot_ _cleanup_(cleanup_snapshot)

static struct snapshot *newest_snapshot(const struct api_call *call)
{
	return call->api->backend.snapshot(call->api->backend.data);
}

static struct api_reply get_status(struct api_call *call)
{
	_cleanup_snapshot_ struct snapshot *snapshot = newest_snapshot(call);

	return api_reply_json(MHD_HTTP_OK, snapshot_status_json(snapshot));
}

static struct api_reply get_vms(struct api_call *call)
{
	_cleanup_snapshot_ struct snapshot *snapshot = newest_snapshot(call);

	return api_reply_json(MHD_HTTP_OK, snapshot_vms_json(snapshot));
}

static struct api_reply get_plan(struct api_call *call)
{
	_cleanup_snapshot_ struct snapshot *snapshot = newest_snapshot(call);

	return api_reply_json(MHD_HTTP_OK, snapshot_plan_json(snapshot));
}

static json_t *candidates_json(const struct snapshot *snapshot, const char *name)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < snapshot->vm_count; i++) {
		const struct snapshot_vm *vm = &snapshot->vms[i];

		if (api_vm_is_called(vm, name) &&
			json_array_append_new(
				array, json_pack("{so so si}", "name", json_text(vm->name), "uuid",
					       json_text(vm->uuid), "pid", (int)vm->pid)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* The VM that the path names; where there is none or more than one, NULL and the reply that says
 * so. */
static const struct snapshot_vm *find_vm(
	const struct api_call *call, const struct snapshot *snapshot, struct api_reply *ret_reply)
{
	const char *name = call->path.segments[2];
	size_t index;
	const int r = api_find_vm(snapshot, name, &index);

	if (r == 0)
		return &snapshot->vms[index];
	if (r == -ENOTUNIQ) {
		*ret_reply = api_reply_error(MHD_HTTP_CONFLICT,
			"Several VMs or processes are called \"%s\"; use a uuid or pid:N.", name);
		(void)json_object_set_new(
			ret_reply->body, "candidates", candidates_json(snapshot, name));
	} else if (snapshot->pass_number == 0) {
		*ret_reply = api_reply_error(MHD_HTTP_SERVICE_UNAVAILABLE,
			"The first pass has not finished; which VMs there are is not known yet.");
	} else {
		*ret_reply = api_reply_error(MHD_HTTP_NOT_FOUND,
			"No VM or process that pagefold knows of is called \"%s\".", name);
	}
	return NULL;
}

static struct api_reply get_vm(struct api_call *call)
{
	_cleanup_snapshot_ struct snapshot *snapshot = newest_snapshot(call);
	struct api_reply reply;
	const struct snapshot_vm *vm = find_vm(call, snapshot, &reply);
	json_t *object;

	if (!vm)
		return reply;
	object = snapshot_vm_json(vm, true);
	if (object && json_object_set_new(object, "schema", json_integer(API_SCHEMA)) < 0) {
		json_decref(object);
		object = NULL;
	}
	return api_reply_json(MHD_HTTP_OK, object);
}

/* What was set and may not be in a snapshot yet: the pass that ran meanwhile began before it. */
static const struct policy *set_policy_of(
	const struct api *api, const struct snapshot *snapshot, pid_t pid)
{
	const struct policy *newest = NULL;

	for (size_t i = 0; i < API_SET_POLICIES && i < api->set_policy_count; i++) {
		const struct api_set_policy *set = &api->set_policies[i];

		if (set->pid == pid && snapshot->pass_number < set->pass + 2)
			newest = &set->policy;
	}
	return newest;
}

static void remember_policy(
	struct api *api, const struct snapshot *snapshot, pid_t pid, const struct policy *policy)
{
	size_t slot = api->set_policy_count % API_SET_POLICIES;

	for (size_t i = 0; i < API_SET_POLICIES && i < api->set_policy_count; i++)
		if (api->set_policies[i].pid == pid)
			slot = i;
	if (slot == api->set_policy_count % API_SET_POLICIES)
		api->set_policy_count++;
	api->set_policies[slot] = (struct api_set_policy){
		.pid = pid,
		.pass = snapshot->pass_number,
		.policy = *policy,
	};
}

static struct policy current_policy(
	const struct api *api, const struct snapshot *snapshot, const struct snapshot_vm *vm)
{
	const struct policy *set = set_policy_of(api, snapshot, vm->pid);
	struct policy policy = {
		.mode = vm->mode,
		.hook = vm->policy_hook,
		.hugepages = vm->hugepages,
	};

	if (set)
		return *set;
	memcpy(policy.group, vm->group, sizeof(policy.group));
	return policy;
}

/* As the VM's policy is, or is about to be. */
static json_t *policy_json(const struct snapshot_vm *vm, const struct policy *policy)
{
	struct snapshot_vm shown = *vm;

	shown.mode = policy->mode;
	shown.policy_hook = policy->hook;
	shown.hugepages = policy->hugepages;
	memcpy(shown.group, policy->group, sizeof(shown.group));
	return snapshot_policy_json(&shown);
}

static struct api_reply get_policy(struct api_call *call)
{
	_cleanup_snapshot_ struct snapshot *snapshot = newest_snapshot(call);
	struct api_reply reply;
	const struct snapshot_vm *vm = find_vm(call, snapshot, &reply);
	struct policy policy;

	if (!vm)
		return reply;
	policy = current_policy(call->api, snapshot, vm);
	return api_reply_json(MHD_HTTP_OK, policy_json(vm, &policy));
}

static struct api_reply policy_was_set(struct api_call *call)
{
	struct api_reply reply;

	remember_policy(call->api, call->snapshot, call->vm->pid, &call->policy);
	reply = api_reply_json(MHD_HTTP_OK, policy_json(call->vm, &call->policy));
	if (reply.body)
		(void)json_object_set_new(
			reply.body, "message", json_text(call->outcome.message));
	return reply;
}

static struct api_reply put_policy(struct api_call *call)
{
	_cleanup_snapshot_ struct snapshot *snapshot = newest_snapshot(call);
	char reason[API_REASON_BYTES];
	struct api_reply reply;

	call->vm = find_vm(call, snapshot, &reply);
	if (!call->vm)
		return reply;
	call->policy = current_policy(call->api, snapshot, call->vm);
	if (api_policy_merge(call->body, call->body_length, &call->policy, reason) < 0)
		return api_reply_error(MHD_HTTP_BAD_REQUEST, "%s", reason);
	call->snapshot = steal_pointer(&snapshot);
	call->reply = policy_was_set;
	return api_call_set_policy(call);
}

static struct api_reply post_release(struct api_call *call)
{
	_cleanup_snapshot_ struct snapshot *snapshot = newest_snapshot(call);
	struct api_reply reply;
	const struct snapshot_vm *vm = find_vm(call, snapshot, &reply);

	if (!vm)
		return reply;
	return api_call_submit(
		call, &(struct api_request){
			      .command = API_RELEASE, .pid = vm->pid, .force = call->force });
}

static struct api_reply post_release_all(struct api_call *call)
{
	return api_call_submit(call,
		&(struct api_request){ .command = API_RELEASE, .all = true, .force = call->force });
}

static struct api_reply post_pause(struct api_call *call)
{
	return api_call_submit(call, &(struct api_request){ .command = API_PAUSE });
}

static struct api_reply post_resume(struct api_call *call)
{
	return api_call_submit(call, &(struct api_request){ .command = API_RESUME });
}

static struct api_reply get_metrics(struct api_call *call)
{
	_cleanup_snapshot_ struct snapshot *snapshot = newest_snapshot(call);
	const char *content_type;
	struct MHD_Response *response =
		metrics_response(call->connection, snapshot, &content_type);

	return api_reply_response(MHD_HTTP_OK, content_type, response);
}

static struct api_reply matrix_was_made(struct api_call *call)
{
	return api_reply_document(steal_pointer(&call->outcome.document));
}

static struct api_reply get_matrix(struct api_call *call)
{
	_cleanup_snapshot_ struct snapshot *snapshot = newest_snapshot(call);

	if (snapshot->pass_number == 0)
		return api_reply_error(MHD_HTTP_SERVICE_UNAVAILABLE,
			"The first pass has not finished; who shares with whom is not known yet.");
	call->reply = matrix_was_made;
	return api_call_submit(call, &(struct api_request){ .command = API_MATRIX });
}

static struct api_reply get_events(struct api_call *call)
{
	_cleanup_snapshot_ struct snapshot *snapshot = newest_snapshot(call);
	struct MHD_Response *response = NULL;
	const int error =
		api_events_open(&call->api->events, call->connection, snapshot, &response);

	if (error == -EBUSY)
		return api_reply_error(MHD_HTTP_SERVICE_UNAVAILABLE,
			"%u clients read the events already, which is as many as may.",
			API_STREAMS_MOST);
	return api_reply_response(MHD_HTTP_OK, "application/x-ndjson", response);
}

static const struct api_route routes[] = {
	{ "v1/status", .get = get_status },
	{ "v1/vms", .get = get_vms },
	{ "v1/vms/*", .get = get_vm },
	{ "v1/vms/*/policy", .get = get_policy, .put = put_policy },
	{ "v1/vms/*/release", .post = post_release },
	{ "v1/release", .post = post_release_all },
	{ "v1/pause", .post = post_pause },
	{ "v1/resume", .post = post_resume },
	{ "v1/plan", .get = get_plan },
	{ "v1/matrix", .get = get_matrix },
	{ "v1/events", .get = get_events },
	{ "metrics", .get = get_metrics },
};

static bool route_is(const char *route, const struct api_path *path)
{
	for (size_t i = 0; i < path->count; i++) {
		const size_t length = strcspn(route, "/");
		const char *segment = path->segments[i];
		const bool any = length == 1 && *route == '*' && *segment;

		if (length == 0 || (!any && (strlen(segment) != length ||
						    strncmp(segment, route, length) != 0)))
			return false;
		route += length + (route[length] == '/' ? 1 : 0);
	}
	return !*route;
}

const struct api_route *api_route_find(const struct api_path *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(routes); i++)
		if (route_is(routes[i].path, path))
			return &routes[i];
	return NULL;
}
