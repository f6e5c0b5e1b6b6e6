// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/links.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

#define URI_SEPARATORS ", \t"

struct links {
	struct libvirt_link_events events;
	pthread_mutex_t lock; /* for the list; a link has a lock of its own */
	struct libvirt_link **list;
	size_t count;
};

struct links *links_new(const struct libvirt_link_events *events)
{
	struct links *links = calloc(1, sizeof(*links));

	if (!links)
		return NULL;
	links->events = *events;
	pthread_mutex_init(&links->lock, NULL);
	return links;
}

static void list_stop(struct libvirt_link **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		libvirt_link_stop(list[i]);
	free(list);
}

void links_free(struct links *links)
{
	if (!links)
		return;
	list_stop(links->list, links->count);
	pthread_mutex_destroy(&links->lock);
	free(links);
}

/* Takes the link with this URI out of the old list. NULL: there is none. */
static struct libvirt_link *list_take(struct links *old, const char *uri)
{
	for (size_t i = 0; i < old->count; i++) {
		struct libvirt_link *link = old->list[i];

		if (strcmp(libvirt_link_uri(link), uri) != 0)
			continue;
		old->list[i] = old->list[--old->count];
		return link;
	}
	return NULL;
}

static int list_add(struct links *links, struct links *old, const char *uri)
{
	struct libvirt_link **list =
		reallocarray(links->list, links->count + 1, sizeof(struct libvirt_link *));
	int error = 0;

	if (!list)
		return -ENOMEM;
	links->list = list;
	list[links->count] = list_take(old, uri);
	if (!list[links->count])
		error = libvirt_link_start(uri, &links->events, &list[links->count]);
	if (!error)
		links->count++;
	return error;
}

int links_configure(struct links *links, const char *uris)
{
	_cleanup_free_ char *copy = strdup(uris);
	struct links old, fresh = { .events = links->events };
	char *position = NULL;
	int error = copy ? 0 : -ENOMEM;

	pthread_mutex_lock(&links->lock);
	old = (struct links){ .list = links->list, .count = links->count };
	for (char *uri = copy ? strtok_r(copy, URI_SEPARATORS, &position) : NULL; !error && uri;
		uri = strtok_r(NULL, URI_SEPARATORS, &position))
		error = list_add(&fresh, &old, uri);
	links->list = fresh.list;
	links->count = fresh.count;
	pthread_mutex_unlock(&links->lock);
	list_stop(old.list, old.count);
	return error;
}

int links_tables(struct links *links, struct links_tables *ret)
{
	struct links_tables tables = { 0 };

	if (!links) {
		*ret = tables;
		return 0;
	}
	pthread_mutex_lock(&links->lock);
	tables.tables = calloc(links->count + 1, sizeof(struct libvirt_domains *));
	for (; tables.tables && tables.count < links->count; tables.count++)
		tables.tables[tables.count] = libvirt_link_domains(links->list[tables.count]);
	pthread_mutex_unlock(&links->lock);
	if (!tables.tables)
		return -ENOMEM;
	*ret = tables;
	return 0;
}

void links_tables_done(struct links_tables *tables)
{
	for (size_t i = 0; i < tables->count; i++)
		libvirt_domains_unref(tables->tables[i]);
	free(tables->tables);
	*tables = (struct links_tables){ 0 };
}

const struct libvirt_domain *links_tables_find(const struct links_tables *tables, const char *uuid)
{
	const struct libvirt_domain *found = NULL;

	for (size_t i = 0; *uuid && !found && i < tables->count; i++)
		found = libvirt_domains_find(tables->tables[i], uuid);
	return found;
}

static bool link_knows(struct libvirt_link *link, const char *uuid)
{
	struct libvirt_domains *domains = libvirt_link_domains(link);
	const bool knows = libvirt_domains_find(domains, uuid) != NULL;

	libvirt_domains_unref(domains);
	return knows;
}

int links_set_metadata(struct links *links, const char *uuid, const char *xml,
	libvirt_set_done_fn done, void *token)
{
	int error = -ENOENT;

	pthread_mutex_lock(&links->lock);
	for (size_t i = 0; error == -ENOENT && i < links->count; i++)
		if (link_knows(links->list[i], uuid))
			error = libvirt_link_set_metadata(links->list[i], uuid, xml, done, token);
	pthread_mutex_unlock(&links->lock);
	return error;
}

/* The lock is held until the call is on its way only: a link may be let go of while we wait. */
int links_monitor(struct links *links, const char *uuid, const char *command, uint64_t deadline_ns,
	char **ret_reply, char reason[LIBVIRT_REASON_BYTES])
{
	struct libvirt_monitor_call *call = NULL;
	bool known = false;

	pthread_mutex_lock(&links->lock);
	for (size_t i = 0; !known && i < links->count; i++) {
		known = link_knows(links->list[i], uuid);
		if (known)
			call = libvirt_link_monitor(
				links->list[i], uuid, command, deadline_ns);
	}
	pthread_mutex_unlock(&links->lock);
	if (call)
		return libvirt_monitor_wait(call, deadline_ns, ret_reply, reason);
	if (known)
		snprintf(reason, LIBVIRT_REASON_BYTES, "out of memory");
	return known ? -ENOMEM : -ENOENT;
}
