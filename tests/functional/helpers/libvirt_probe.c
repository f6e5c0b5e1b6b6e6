// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The link to a libvirt, watched: a line of JSON for each new table, and for each answer.
 *
 *   libvirt_probe URI
 *
 * Commands on standard input: "table" (says it again), "set UUID XML", "remove UUID", "stop",
 * "start", "quit"; the link is stopped at the end, too.
 */
#include <err.h>
#include <jansson.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "hypervisor-glue/libvirt_link.h"

struct probe {
	const char *uri;
	struct libvirt_link *link;
	int changed;
};

static void say(json_t *line)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	(void)json_dumpf(line, stdout, JSON_COMPACT);
	(void)putchar('\n');
	(void)fflush(stdout);
	pthread_mutex_unlock(&lock);
	json_decref(line);
}

static void on_changed(void *data)
{
	const struct probe *probe = data;
	const uint64_t one = 1;

	if (write(probe->changed, &one, sizeof(one)) < 0)
		err(1, "eventfd");
}

static void on_done(void *token, int error, char *message)
{
	char *uuid = token;

	say(json_pack("{s:s, s:i, s:s?}", "uuid", uuid, "error", error, "message", message));
	free(message);
	free(uuid);
}

static void say_table(const struct probe *probe)
{
	const uint64_t before = clock_monotonic_ns();
	struct libvirt_domains *domains = libvirt_link_domains(probe->link);
	const uint64_t waited = clock_monotonic_ns() - before;
	json_t *all = json_object();

	for (size_t i = 0; i < domains->count; i++) {
		const struct libvirt_domain *domain = &domains->domains[i];

		json_object_set_new(all, domain->uuid,
			json_pack("{s:s?, s:b, s:i}", "policy", domain->policy_xml, "nosharepages",
				domain->nosharepages, "id", (int)domain->id));
	}
	say(json_pack("{s:o, s:s?, s:I}", "domains", all, "trouble", domains->trouble, "waited_ns",
		(json_int_t)waited));
	libvirt_domains_unref(domains);
}

static void set(const struct probe *probe, const char *uuid, const char *xml)
{
	char *token = uuid ? strdup(uuid) : NULL;

	if (!token)
		errx(1, "set UUID XML, or remove UUID");
	if (libvirt_link_set_metadata(probe->link, uuid, xml, on_done, token) < 0)
		errx(1, "out of memory");
}

static void set_words(const struct probe *probe, char *words)
{
	const char *uuid = strsep(&words, " ");

	set(probe, uuid, words);
}

static void start(struct probe *probe)
{
	const struct libvirt_link_events events = { on_changed, probe };
	const int error = libvirt_link_start(probe->uri, &events, &probe->link);

	if (error)
		errx(1, "libvirt_link_start: %s", strerror(-error));
	say(json_pack("{s:s}", "started", libvirt_link_uri(probe->link)));
}

static void stop(struct probe *probe)
{
	const uint64_t before = clock_monotonic_ns();

	libvirt_link_stop(probe->link);
	probe->link = NULL;
	say(json_pack(
		"{s:f}", "stopped", (double)(clock_monotonic_ns() - before) / (double)NS_PER_S));
}

/* Whether to go on. */
static bool obey(struct probe *probe, char *line)
{
	char *rest = line;
	const char *command;

	line[strcspn(line, "\n")] = '\0';
	command = strsep(&rest, " ");
	if (!strcmp(command, "quit"))
		return false;
	if (!strcmp(command, "start"))
		start(probe);
	else if (!strcmp(command, "stop"))
		stop(probe);
	else if (!strcmp(command, "table"))
		say_table(probe);
	else if (!strcmp(command, "set"))
		set_words(probe, rest);
	else if (!strcmp(command, "remove"))
		set(probe, rest, NULL);
	else
		errx(1, "unknown command %s", command);
	return true;
}

static bool turn(struct probe *probe)
{
	struct pollfd wait[] = { { .fd = 0, .events = POLLIN },
		{ .fd = probe->changed, .events = POLLIN } };
	char line[65536];
	uint64_t count;

	if (poll(wait, ARRAY_SIZE(wait), -1) < 0)
		err(1, "poll");
	if (wait[1].revents && read(probe->changed, &count, sizeof(count)) > 0 && probe->link)
		say_table(probe);
	/* Standard input is unbuffered, so that poll() sees what there is. */
	return !wait[0].revents || (fgets(line, sizeof(line), stdin) && obey(probe, line));
}

int main(int argc, char **argv)
{
	struct probe probe = { .changed = eventfd(0, EFD_CLOEXEC) };

	if (argc != 2 || probe.changed < 0)
		errx(2, "usage: libvirt_probe URI");
	probe.uri = argv[1];
	(void)setvbuf(stdin, NULL, _IONBF, 0);
	start(&probe);
	while (turn(&probe))
		;
	libvirt_link_stop(probe.link);
	(void)close(probe.changed);
	return 0;
}
