// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/policy_setter.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "common/cleanup.h"
#include "daemon/metadata.h"
#include "daemon/policy_file.h"

/* One policy on its way into libvirt's metadata. */
struct setting {
	struct policy_setter *setter;
	pid_t pid;
	api_done_fn done;
	void *token;
	struct api_outcome outcome;
	struct setting *next;
};

struct policy_setter {
	struct links *links;
	struct policy_setter_host host;
	sd_event_source *source;
	int event_fd;

	pthread_mutex_t lock; /* for all below */
	struct setting *finished;
};

/* ---- from the link's thread to the main thread ---- */

static void on_set(void *token, int error, char *message)
{
	struct setting *setting = token;
	struct policy_setter *setter = setting->setter;
	const uint64_t one = 1;

	setting->outcome = (struct api_outcome){ .error = error, .message = message };
	pthread_mutex_lock(&setter->lock);
	setting->next = setter->finished;
	setter->finished = setting;
	pthread_mutex_unlock(&setter->lock);
	if (write(setter->event_fd, &one, sizeof(one)) < 0)
		return; /* full: readable anyway */
}

static void setting_finish(struct setting *setting)
{
	const struct policy_setter_host *host = &setting->setter->host;

	if (!setting->outcome.error) {
		host->was_set(host->data, setting->pid);
		if (asprintf(&setting->outcome.message, "Kept in libvirt's metadata of the domain.") < 0)
			setting->outcome.message = NULL;
	}
	setting->done(setting->token, setting->outcome);
	free(setting);
}

static struct setting *settings_take(struct policy_setter *setter)
{
	struct setting *settings;

	pthread_mutex_lock(&setter->lock);
	settings = setter->finished;
	setter->finished = NULL;
	pthread_mutex_unlock(&setter->lock);
	return settings;
}

static int on_finished(
	sd_event_source *source _unused_, int fd, uint32_t events _unused_, void *data)
{
	struct setting *settings = NULL;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		return 0;
	settings = settings_take(data);
	while (settings) {
		struct setting *next = settings->next;

		setting_finish(settings);
		settings = next;
	}
	return 0;
}

int policy_setter_new(sd_event *event, struct links *links, const struct policy_setter_host *host,
	struct policy_setter **ret)
{
	struct policy_setter *setter = calloc(1, sizeof(*setter));
	int error;

	if (!setter)
		return -ENOMEM;
	setter->links = links;
	setter->host = *host;
	pthread_mutex_init(&setter->lock, NULL);
	setter->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = setter->event_fd < 0 ? -errno : 0;
	if (!error)
		error = sd_event_add_io(
			event, &setter->source, setter->event_fd, EPOLLIN, on_finished, setter);
	if (error < 0) {
		policy_setter_free(setter);
		return error;
	}
	*ret = setter;
	return 0;
}

void policy_setter_free(struct policy_setter *setter)
{
	struct setting *settings;

	if (!setter)
		return;
	settings = settings_take(setter);
	while (settings) {
		struct setting *next = settings->next;

		settings->done(settings->token, settings->outcome);
		free(settings);
		settings = next;
	}
	sd_event_source_disable_unref(setter->source);
	close_fd(setter->event_fd);
	pthread_mutex_destroy(&setter->lock);
	free(setter);
}

/* ---- setting ---- */

static int set_metadata(struct policy_setter *setter, const struct policy_subject *subject,
	const struct policy *policy, api_done_fn done, void *token)
{
	_cleanup_free_ char *xml = metadata_format(policy);
	struct setting *setting = calloc(1, sizeof(*setting));
	int error = -ENOMEM;

	if (setting && xml) {
		*setting = (struct setting){
			.setter = setter,
			.pid = subject->pid,
			.done = done,
			.token = token,
		};
		error = links_set_metadata(setter->links, subject->uuid, xml, on_set, setting);
	}
	if (error)
		free(setting);
	return error;
}

/* Written, but what is there now as a whole cannot be loaded: somebody else's file is wrong. The old text
 * comes back, or else the next start would bring what was refused here. */
static void set_file_undo(const char *policy_dir, const char *before, int error, const char *sentence,
	struct api_outcome *outcome)
{
	const int undone = policy_file_write(policy_dir, before);

	outcome->error = -EIO;
	if (asprintf(&outcome->message, "Not set: the configuration cannot be loaded as it is now (%s); "
					"%s/00-set.conf is %s%s.",
		    sentence ? sentence : strerror(-error), policy_dir,
		    undone ? "not as it was before: " : "as it was before",
		    undone ? strerror(-undone) : "") < 0)
		outcome->message = NULL;
}

static void set_file(struct policy_setter *setter, const char *policy_dir,
	const struct policy_subject *subject, const struct policy *policy, api_done_fn done,
	void *token)
{
	_cleanup_free_ char *kept = NULL, *directory = strdup(policy_dir), *before = NULL;
	_cleanup_free_ char *sentence = NULL;
	struct api_outcome outcome = { 0 };
	struct policy_target target;

	/* Before the reload, which may replace policy_dir. */
	if (asprintf(&kept, "Kept in %s/00-set.conf.", policy_dir) < 0)
		kept = NULL;
	policy_target_of(subject, &target);
	outcome.error = directory ? policy_file_read(policy_dir, &before) : -ENOMEM;
	if (!outcome.error)
		outcome.error = policy_file_set(
			policy_dir, target.section, target.match, policy, &outcome.message);
	if (!outcome.error) {
		outcome.error = setter->host.reload(setter->host.data, &sentence);
		if (outcome.error)
			set_file_undo(directory, before, outcome.error, sentence, &outcome);
	}
	if (!outcome.error) {
		setter->host.was_set(setter->host.data, subject->pid);
		outcome.message = steal_pointer(&kept);
	}
	done(token, outcome);
}

void policy_setter_set(struct policy_setter *setter, const char *policy_dir,
	const struct policy_subject *subject, const struct policy *policy, api_done_fn done,
	void *token)
{
	int error = -ENOENT;

	if (subject->is_vm && subject->uuid)
		error = set_metadata(setter, subject, policy, done, token);
	if (error == -ENOENT)
		set_file(setter, policy_dir, subject, policy, done, token);
	else if (error)
		done(token, (struct api_outcome){ .error = error });
}
