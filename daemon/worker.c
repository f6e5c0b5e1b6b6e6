// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "daemon/commands.h"
#include "daemon/job.h"
#include "daemon/log.h"
#include "daemon/matrix_desk.h"
#include "daemon/next_pass.h"
#include "daemon/pass.h"

/* One of each command for a hundred VMs; more is somebody's loop. */
#define REQUESTS_MOST 128

/* How soon a VM that libvirt says nothing of is found: some microseconds each time. */
#define NEWCOMERS_NS (2 * NS_PER_S)

/* A host where VMs come and go all the time must get on with its passes all the same. */
#define CUT_SHORT_NS (5 * NS_PER_S)

/* The longest single step without a heartbeat: a release batch against a process that does not answer waits
 * out its deadline. */
#define SILENCE_MOST_NS (120 * NS_PER_S)

struct worker {
	struct core *core;
	pthread_t thread;
	int event_fd;
	struct matrix_desk matrix;

	pthread_mutex_t lock; /* for all below */
	struct snapshot *snapshot;
	struct job *waiting, *finished;
	struct job *questions; /* those of waiting jobs that change nothing */
	size_t job_count;
	bool quit, once_done;
	bool have_reload, have_news;
	uint64_t cut_short_ns; /* when news last cut a pass short */
	struct config reload_config;
	struct policy_set reload_policies;
};

/* ---- shared ---- */

static void worker_notify(struct worker *worker)
{
	const uint64_t one = 1;

	if (write(worker->event_fd, &one, sizeof(one)) < 0)
		return; /* full: readable anyway */
}

/* ---- the pass thread ---- */

static struct job *worker_take(struct worker *worker, struct job **list)
{
	struct job *job;

	pthread_mutex_lock(&worker->lock);
	job = job_take_first(list);
	pthread_mutex_unlock(&worker->lock);
	return job;
}

static void job_finish(struct worker *worker, struct job *job)
{
	pthread_mutex_lock(&worker->lock);
	job_append(&worker->finished, job);
	pthread_mutex_unlock(&worker->lock);
	worker_notify(worker);
}

/* Questions are answered wherever nothing is in the middle of being done. */
static void worker_answer(struct worker *worker)
{
	struct job *job;

	while ((job = worker_take(worker, &worker->questions))) {
		matrix_desk_answer(&worker->matrix, worker->core, &job->outcome);
		job_finish(worker, job);
	}
}

static void worker_publish(void *arg, struct snapshot *snapshot)
{
	struct worker *worker = arg;
	struct snapshot *old;

	pthread_mutex_lock(&worker->lock);
	old = worker->snapshot;
	worker->snapshot = snapshot;
	pthread_mutex_unlock(&worker->lock);
	snapshot_unref(old);
	worker_notify(worker);
	worker_answer(worker);
}

static bool worker_take_news(struct worker *worker)
{
	bool taken;

	pthread_mutex_lock(&worker->lock);
	taken = worker->have_news;
	worker->have_news = false;
	pthread_mutex_unlock(&worker->lock);
	return taken;
}

static bool worker_take_reload(struct worker *worker)
{
	struct core *core = worker->core;
	bool taken;

	pthread_mutex_lock(&worker->lock);
	taken = worker->have_reload;
	if (taken) {
		config_done(&core->config);
		policy_set_done(&core->policies);
		core->config = worker->reload_config;
		budget_set_percent(&core->budget, core->config.cpu_percent);
		core->policies = worker->reload_policies;
		core->index_stale = true;
		worker->have_reload = false;
	}
	pthread_mutex_unlock(&worker->lock);
	return taken;
}

static bool worker_must_quit(struct worker *worker)
{
	bool quit;

	pthread_mutex_lock(&worker->lock);
	quit = worker->quit;
	pthread_mutex_unlock(&worker->lock);
	return quit;
}

/* Answers are given after the snapshot that shows their effect is out. */
static void worker_serve(struct worker *worker)
{
	struct job *served = NULL, *job;
	int error;

	while ((job = worker_take(worker, &worker->waiting))) {
		commands_run(worker->core, &job->request, &job->outcome);
		job_append(&served, job);
	}
	if (!served)
		return;
	error = pass_account_only(worker->core, worker_publish, worker);
	if (error)
		log_error("the books could not be brought up to date: %s", strerror(-error));
	while ((job = job_take_first(&served)))
		job_finish(worker, job);
}

static void once_finish(struct worker *worker, const char *why)
{
	log_notice("--once: %s after %llu passes; %lld MiB reclaimed, folds stay", why,
		(unsigned long long)worker->core->pass_number,
		(long long)(registry_reclaimed_bytes(&worker->core->registry) >> 20));
	pthread_mutex_lock(&worker->lock);
	worker->once_done = true;
	pthread_mutex_unlock(&worker->lock);
	worker_notify(worker);
}

/* True: there is nothing more to do for --once. */
static bool once_judge(struct worker *worker, int64_t reclaimed_before)
{
	const char *why = next_pass_none(worker->core, reclaimed_before);

	if (why)
		once_finish(worker, why);
	return why;
}

/* Cut short by news, by a raise, by a VM that has started, or when what was held back may be folded. */
static void worker_sleep(struct worker *worker, uint64_t next_ns)
{
	struct core *core = worker->core;
	const bool polls = !core->once && !core->paused;
	uint64_t now = clock_monotonic_ns();

	/* A reload or news wakes us, but the pass may have slept through that. */
	while (!worker_take_reload(worker) && !worker_take_news(worker)) {
		const uint64_t poll_ns = now + NEWCOMERS_NS;

		worker_answer(worker);
		if (interrupt_sleep_until(core->interrupt,
			    polls && poll_ns < next_ns ? poll_ns : next_ns))
			break;
		now = clock_monotonic_ns();
		if (now >= next_ns ||
			(polls && (newcomers_came(&core->newcomers, &core->root) ||
					  restraint_lifts(core))))
			break;
	}
	(void)worker_take_reload(worker);
}

/* True: nothing is left to do for --once. */
static bool worker_pass(struct worker *worker)
{
	struct core *core = worker->core;
	const int64_t before = registry_reclaimed_bytes(&core->registry);
	const int error = pass_run(core, worker_publish, worker);

	if (error)
		log_error("pass %llu failed: %s; the next one starts anew",
			(unsigned long long)core->pass_number, strerror(-error));
	return core->once && !interrupt_raised(core->interrupt) && once_judge(worker, before);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct core *core = worker->core;
	bool idle = false; /* --once is done: only requests are served */

	/* Who comes from now on is found by the first pass, or is new to the next look. */
	(void)newcomers_came(&core->newcomers, &core->root);
	for (;;) {
		const uint64_t started_ns = clock_monotonic_ns();

		interrupt_clear(core->interrupt);
		if (worker_must_quit(worker)) {
			if (core->audit.at_once)
				audit_take(core); /* by what the last pass knew of who is asked for */
			return NULL;
		}
		worker_serve(worker);
		if (!idle)
			idle = worker_pass(worker);
		worker_sleep(worker, idle ? UINT64_MAX : next_pass_ns(core, started_ns));
	}
}

/* ---- the main thread ---- */

int worker_start(struct core *core, struct worker **ret)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int error = -ENOMEM;

	if (!worker)
		return error;
	worker->core = core;
	worker->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->event_fd < 0) {
		error = -errno;
		goto free_worker;
	}
	worker->snapshot = snapshot_new(); /* of a daemon that has not looked yet */
	if (!worker->snapshot)
		goto close_event;
	pthread_mutex_init(&worker->lock, NULL);
	matrix_desk_init(&worker->matrix);
	error = -pthread_create(&worker->thread, NULL, worker_main, worker);
	if (error)
		goto drop_snapshot;
	*ret = worker;
	return 0;

drop_snapshot:
	matrix_desk_done(&worker->matrix);
	pthread_mutex_destroy(&worker->lock);
	snapshot_unref(worker->snapshot);
close_event:
	close_fd(worker->event_fd);
free_worker:
	free(worker);
	return error;
}

void worker_stop(struct worker *worker)
{
	pthread_mutex_lock(&worker->lock);
	worker->quit = true;
	pthread_mutex_unlock(&worker->lock);
	interrupt_raise(worker->core->interrupt);
	pthread_join(worker->thread, NULL);

	(void)worker_dispatch(worker);
	jobs_cancel(&worker->waiting);
	jobs_cancel(&worker->questions);
	if (worker->have_reload) {
		config_done(&worker->reload_config);
		policy_set_done(&worker->reload_policies);
	}
	snapshot_unref(worker->snapshot);
	matrix_desk_done(&worker->matrix);
	pthread_mutex_destroy(&worker->lock);
	close_fd(worker->event_fd);
	free(worker);
}

struct snapshot *worker_snapshot(struct worker *worker)
{
	struct snapshot *snapshot;

	pthread_mutex_lock(&worker->lock);
	snapshot = snapshot_ref(worker->snapshot);
	pthread_mutex_unlock(&worker->lock);
	return snapshot;
}

int worker_submit(
	struct worker *worker, const struct api_request *request, api_done_fn done, void *token)
{
	const bool is_question = request->command == API_MATRIX;
	struct document *known = is_question ? matrix_desk_fresh(&worker->matrix) : NULL;
	struct job *job = known ? NULL : job_new(request, done, token);
	bool full, is_first = true;

	if (known) {
		done(token, (struct api_outcome){ .document = known });
		return 0;
	}
	if (!job)
		return -ENOMEM;
	pthread_mutex_lock(&worker->lock);
	full = worker->job_count >= REQUESTS_MOST;
	if (!full) {
		worker->job_count++;
		is_first = !worker->questions;
		job_append(is_question ? &worker->questions : &worker->waiting, job);
	}
	pthread_mutex_unlock(&worker->lock);
	if (full) {
		free(job);
		return -EBUSY;
	}
	/* Not for each: a wake also ends a sleep that pays off CPU time. */
	if (is_question && is_first)
		interrupt_wake(worker->core->interrupt);
	if (!is_question)
		interrupt_raise(worker->core->interrupt);
	return 0;
}

int worker_reload(struct worker *worker, struct config *config, struct policy_set *policies)
{
	pthread_mutex_lock(&worker->lock);
	if (worker->have_reload) {
		config_done(&worker->reload_config);
		policy_set_done(&worker->reload_policies);
	}
	worker->reload_config = *config;
	worker->reload_policies = *policies;
	worker->have_reload = true;
	pthread_mutex_unlock(&worker->lock);
	interrupt_wake(worker->core->interrupt);
	return 0;
}

void worker_news(struct worker *worker)
{
	const uint64_t now = clock_monotonic_ns();
	bool cut_short;

	pthread_mutex_lock(&worker->lock);
	worker->have_news = true;
	cut_short = now - worker->cut_short_ns >= CUT_SHORT_NS;
	if (cut_short)
		worker->cut_short_ns = now;
	pthread_mutex_unlock(&worker->lock);
	if (cut_short)
		interrupt_raise(worker->core->interrupt);
	else
		interrupt_wake(worker->core->interrupt);
}

int worker_fd(const struct worker *worker)
{
	return worker->event_fd;
}

bool worker_dispatch(struct worker *worker)
{
	struct job *jobs, *job;
	uint64_t count;
	bool once_done;

	if (read(worker->event_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_warning("the pass thread's event cannot be read: %m");
	pthread_mutex_lock(&worker->lock);
	jobs = worker->finished;
	worker->finished = NULL;
	once_done = worker->once_done;
	pthread_mutex_unlock(&worker->lock);
	while ((job = job_take_first(&jobs))) {
		job_end(job);
		pthread_mutex_lock(&worker->lock);
		worker->job_count--;
		pthread_mutex_unlock(&worker->lock);
	}
	return once_done;
}

bool worker_is_alive(struct worker *worker)
{
	return interrupt_heartbeat_age_ns(worker->core->interrupt) < SILENCE_MOST_NS;
}
