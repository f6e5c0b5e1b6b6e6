// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/api.h"
#include "daemon/configuration.h"
#include "daemon/core.h"
#include "daemon/directories.h"
#include "daemon/helper_path.h"
#include "daemon/links.h"
#include "daemon/log.h"
#include "daemon/metrics_listener.h"
#include "daemon/policy_setter.h"
#include "daemon/worker.h"

struct service {
	const struct options *options;
	sd_event *event;
	struct interrupt interrupt;
	struct core core;
	struct worker *worker;
	struct links *links;
	struct policy_setter *setter;
	struct api *api;
	struct metrics_listener *metrics;
	char *attach_helper, *socket_path;
	char *policy_dir; /* the main thread's own copy: core belongs to the pass thread */
	struct listen_address metrics_listen; /* likewise */
	enum policy_mode default_mode;
	uint64_t watchdog_usec;
	bool was_ready;
	int state_dir_fd; /* locked: one daemon per record */
};

/* ---- configuration ---- */

static int service_remember(struct service *service, const struct config *config)
{
	char *policy_dir = strdup(config->policy_dir);

	if (!policy_dir)
		return -ENOMEM;
	free(service->policy_dir);
	service->policy_dir = policy_dir;
	service->default_mode = config->default_mode;
	service->metrics_listen = config->metrics_listen;
	return 0;
}

static int service_reload(struct service *service, char **ret_sentence)
{
	struct policy_set policies;
	struct config config;
	int error;

	error = configuration_load(service->options->config_path, &config, &policies, ret_sentence);
	if (error)
		return error;
	error = service_remember(service, &config);
	if (!error)
		error = links_configure(service->links, config.libvirt_uri);
	if (!error)
		metrics_listener_configure(service->metrics, &service->metrics_listen);
	if (!error)
		error = worker_reload(service->worker, &config, &policies);
	return error;
}

/* ---- the API's backend ---- */

static struct snapshot *backend_snapshot(void *data)
{
	return worker_snapshot(((struct service *)data)->worker);
}

static int backend_submit(
	void *data, const struct api_request *request, api_done_fn done, void *token)
{
	return worker_submit(((struct service *)data)->worker, request, done, token);
}

static void backend_set_policy(void *data, const struct snapshot_vm *vm,
	const struct policy *policy, api_done_fn done, void *token)
{
	struct service *service = data;
	struct snapshot *snapshot = backend_snapshot(service);
	const struct policy_subject subject = snapshot_subject(snapshot, vm);

	policy_setter_set(service->setter, service->policy_dir, &subject, policy, done, token);
	snapshot_unref(snapshot);
}

/* ---- what a policy that was set brings about ---- */

static int setter_reload(void *data, char **ret_sentence)
{
	return service_reload(data, ret_sentence);
}

/* For what nobody waits for. */
static void on_done(void *token _unused_, struct api_outcome outcome)
{
	free(outcome.message);
}

static void setter_was_set(void *data, pid_t pid)
{
	const struct api_request request = { .command = API_END_HOLD, .pid = pid };
	struct service *service = data;

	if (worker_submit(service->worker, &request, on_done, NULL) < 0)
		log_warning("process %d: its policy is set, but it stays released until that changes",
			(int)pid);
}

/* ---- events ---- */

static int on_worker(sd_event_source *source _unused_, int fd _unused_, uint32_t events _unused_,
	void *data)
{
	struct service *service = data;

	const bool once_done = worker_dispatch(service->worker);

	api_news(service->api);
	return once_done ? sd_event_exit(service->event, 0) : 0;
}

static int on_end(
	sd_event_source *source _unused_, const struct signalfd_siginfo *info _unused_, void *data)
{
	struct service *service = data;

	(void)sd_notify(0, "STOPPING=1");
	return sd_event_exit(service->event, 0);
}

static int on_reload(
	sd_event_source *source _unused_, const struct signalfd_siginfo *info _unused_, void *data)
{
	_cleanup_free_ char *sentence = NULL;
	struct service *service = data;
	int error;

	/* With the time, systemd tells the READY of this reload from that of an earlier one. */
	(void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)(clock_monotonic_ns() / 1000));
	error = service_reload(service, &sentence);
	if (error)
		log_error("%s", sentence ? sentence : strerror(-error));
	if (error)
		log_error("the new configuration is refused; the old one stays");
	else
		log_info("configuration reloaded");
	(void)sd_notify(0, "READY=1");
	return 0;
}

/* systemd hears from us as long as the pass thread does its work; the main thread's life alone is not
 * enough. */
static int on_watchdog(sd_event_source *source, uint64_t usec, void *data)
{
	struct service *service = data;

	if (worker_is_alive(service->worker))
		(void)sd_notify(0, "WATCHDOG=1");
	else
		log_error("the pass thread does not answer");
	(void)sd_event_source_set_time(source, usec + service->watchdog_usec / 2);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int watchdog_start(struct service *service)
{
	uint64_t now;
	int enabled, error;

	enabled = sd_watchdog_enabled(0, &service->watchdog_usec);
	if (enabled <= 0)
		return enabled;
	error = sd_event_now(service->event, CLOCK_MONOTONIC, &now);
	if (error < 0)
		return error;
	return sd_event_add_time(service->event, NULL, CLOCK_MONOTONIC, now, service->watchdog_usec / 8,
		on_watchdog, service);
}

static int signals_block(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	(void)signal(SIGPIPE, SIG_IGN);
	return sigprocmask(SIG_BLOCK, &set, NULL) < 0 ? -errno : 0;
}

static int events_add(struct service *service)
{
	sd_event *event = service->event;
	int error;

	error = sd_event_add_signal(event, NULL, SIGTERM, on_end, service);
	if (error >= 0)
		error = sd_event_add_signal(event, NULL, SIGINT, on_end, service);
	if (error >= 0)
		error = sd_event_add_signal(event, NULL, SIGHUP, on_reload, service);
	if (error >= 0)
		error = sd_event_add_io(event, NULL, worker_fd(service->worker), EPOLLIN, on_worker,
			service);
	if (error >= 0)
		error = watchdog_start(service);
	return error < 0 ? error : 0;
}

/* ---- start and stop ---- */

static void on_libvirt_changed(void *data)
{
	struct service *service = data;

	worker_news(service->worker);
}

static int core_start(struct service *service)
{
	const struct libvirt_link_events events = { on_libvirt_changed, service };
	const struct options *options = service->options;
	_cleanup_free_ char *sentence = NULL;
	struct core *core = &service->core;
	int error;

	service->links = links_new(&events);
	if (!service->links)
		return -ENOMEM;
	core->links = service->links;
	error = configuration_load(options->config_path, &core->config, &core->policies, &sentence);
	if (error) {
		log_error("%s", sentence ? sentence : strerror(-error));
		return error;
	}
	if (options->once)
		core->config.settle_seconds = 0;
	core->once = options->once;
	core->state_dir = options->state_dir;
	core->attach_helper = service->attach_helper;
	core->interrupt = &service->interrupt;
	error = service_remember(service, &core->config);
	if (!error)
		error = core_open(core, options->disabled);
	if (error == -EBADMSG)
		log_error("%s/state.json cannot be read as a state record; it says which memory is "
			  "marked, so it is not overwritten: move it away to start without it",
			options->state_dir);
	else if (error)
		log_error("cannot start: %s", strerror(-error));
	return error;
}

static int api_open(struct service *service)
{
	const struct api_backend backend = {
		.snapshot = backend_snapshot,
		.submit = backend_submit,
		.set_policy = backend_set_policy,
		.data = service,
	};
	const int error = api_start(service->event, service->socket_path, &backend, &service->api);

	if (error == -EADDRINUSE)
		log_error("%s: another pagefoldd answers there; give this one a --runtime-dir of its "
			  "own", service->socket_path);
	else if (error)
		log_error("%s: %s", service->socket_path, strerror(-error));
	return error;
}

/* With the pass thread running: opens what talks to others, and serves until told to end. */
static int service_serve(struct service *service, const char *libvirt_uri)
{
	const struct policy_setter_host host = {
		.reload = setter_reload,
		.was_set = setter_was_set,
		.data = service,
	};
	int error;

	error = links_configure(service->links, libvirt_uri);
	if (!error)
		error = policy_setter_new(service->event, service->links, &host, &service->setter);
	if (!error)
		error = events_add(service);
	if (!error)
		error = api_open(service);
	if (!error)
		error = metrics_listener_new(
			service->event, backend_snapshot, service, &service->metrics);
	if (error)
		return error;
	metrics_listener_configure(service->metrics, &service->metrics_listen);
	(void)sd_notify(0, "READY=1");
	service->was_ready = true;
	log_info("pagefoldd " PAGEFOLD_VERSION " ready, %s", service->socket_path);
	return sd_event_loop(service->event);
}

static int service_loop(struct service *service)
{
	/* The pass thread owns the configuration from its start on. */
	_cleanup_free_ char *libvirt_uri = strdup(service->core.config.libvirt_uri);
	int error;

	if (!libvirt_uri)
		return -ENOMEM;
	error = worker_start(&service->core, &service->worker);
	if (error)
		return error;
	error = service_serve(service, libvirt_uri);
	(void)links_configure(service->links, "");
	worker_stop(service->worker);
	policy_setter_free(service->setter);
	api_stop(service->api);
	metrics_listener_free(service->metrics);
	return error;
}

static int service_start(struct service *service)
{
	int error;

	if (geteuid() != 0) {
		log_error("pagefoldd must run as root: it reads other processes' memory and writes "
			  "KSM's knobs");
		return -EPERM;
	}
	error = directory_make(service->options->runtime_dir, 0755);
	if (!error)
		error = directory_make(service->options->state_dir, 0700);
	if (!error)
		error = state_dir_lock(service->options->state_dir, &service->state_dir_fd);
	if (!error)
		error = core_start(service);
	if (error)
		return error;
	error = service_loop(service);
	core_close(&service->core);
	links_free(service->links);
	return error;
}

/* What refuses the start mostly says so itself, and better. */
static void end_explain(const struct service *service, int error)
{
	if (service->was_ready)
		log_error("ended: %s", strerror(-error));
	else if (!log_has_error())
		log_error("cannot start: %s", strerror(-error));
}

int service_run(const struct options *options)
{
	struct service service = { .options = options, .state_dir_fd = -1 };
	int error;

	error = signals_block();
	if (!error)
		error = interrupt_init(&service.interrupt);
	if (error) {
		end_explain(&service, error);
		return error;
	}
	error = sd_event_new(&service.event);
	service.attach_helper = helper_path_find();
	if (asprintf(&service.socket_path, "%s/api.sock", options->runtime_dir) < 0)
		service.socket_path = NULL;
	if (error >= 0)
		error = service.attach_helper && service.socket_path ? service_start(&service)
								     : -ENOMEM;
	if (error < 0)
		end_explain(&service, error);
	free(service.attach_helper);
	free(service.socket_path);
	free(service.policy_dir);
	close_fd(service.state_dir_fd);
	sd_event_unref(service.event);
	interrupt_done(&service.interrupt);
	return error;
}
