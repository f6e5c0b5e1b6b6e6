// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/libvirt_connection.h"

#include <errno.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>
#include <stdbool.h>
#include <string.h>

#include "common/cleanup.h"
#include "hypervisor-glue/libvirt_domains.h"

/* A libvirtd that hangs is given up, and its calls with it, after 5 s x (3 + 1). */
#define KEEPALIVE_SECONDS 5
#define KEEPALIVE_COUNT   3

/* ---- events ---- */

static void hear(const struct libvirt_listener *listener, virDomainPtr domain)
{
	char uuid[VIR_UUID_STRING_BUFLEN];
	const bool named = virDomainGetUUIDString(domain, uuid) == 0;

	listener->heard(listener->data, named ? uuid : NULL);
}

static int on_lifecycle(virConnectPtr connection _unused_, virDomainPtr domain, int event _unused_,
	int detail _unused_, void *listener)
{
	hear(listener, domain);
	return 0;
}

static void on_metadata(virConnectPtr connection _unused_, virDomainPtr domain, int type,
	const char *uri, void *listener)
{
	/* The event carries neither the value nor whether it was live or config: read again. */
	if (type == VIR_DOMAIN_METADATA_ELEMENT && uri && !strcmp(uri, LIBVIRT_METADATA_URI))
		hear(listener, domain);
}

static void on_device(virConnectPtr connection _unused_, virDomainPtr domain,
	const char *alias _unused_, void *listener)
{
	hear(listener, domain);
}

static void on_memory_device(virConnectPtr connection _unused_, virDomainPtr domain,
	const char *alias _unused_, unsigned long long size _unused_, void *listener)
{
	hear(listener, domain);
}

static void on_close(virConnectPtr connection _unused_, int reason, void *data)
{
	const struct libvirt_listener *listener = data;

	listener->lost(listener->data, reason == VIR_CONNECT_CLOSE_REASON_KEEPALIVE
					       ? "it does not answer"
					       : "it has closed the connection");
}

static void on_forgotten(void *data)
{
	const struct libvirt_listener *listener = data;

	listener->unref(listener->data);
}

static const struct {
	virDomainEventID id;
	virConnectDomainEventGenericCallback callback;
	bool needed; /* the others are of younger libvirts or other hypervisors */
} events[LIBVIRT_EVENTS] = {
	{ VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), true },
	{ VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata), true },
	{ VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device), false },
	{ VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device), false },
	{ VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE,
		VIR_DOMAIN_EVENT_CALLBACK(on_memory_device), false },
};

/* ---- opening and closing ---- */

static bool lacks_support(void)
{
	return virGetLastErrorCode() == VIR_ERR_NO_SUPPORT;
}

static int listen_for_events(
	struct libvirt_connection *connection, struct libvirt_listener *listener)
{
	for (size_t i = 0; i < LIBVIRT_EVENTS; i++) {
		listener->ref(listener->data);
		connection->events[i] = virConnectDomainEventRegisterAny(connection->handle, NULL,
			(int)events[i].id, events[i].callback, listener, on_forgotten);
		if (connection->events[i] >= 0)
			continue;
		listener->unref(listener->data);
		if (events[i].needed)
			return -EIO;
	}
	return 0;
}

static int listen_for_end(struct libvirt_connection *connection, struct libvirt_listener *listener)
{
	/* Drivers inside this process have nobody who could hang. */
	if (virConnectSetKeepAlive(connection->handle, KEEPALIVE_SECONDS, KEEPALIVE_COUNT) < 0 &&
		!lacks_support())
		return -EIO;
	listener->ref(listener->data);
	if (virConnectRegisterCloseCallback(connection->handle, on_close, listener, on_forgotten) ==
		0)
		return 0;
	listener->unref(listener->data);
	return lacks_support() ? 0 : -EIO;
}

int libvirt_connection_open(const char *uri, struct libvirt_listener *listener,
	struct libvirt_connection *ret, char **ret_message)
{
	struct libvirt_connection connection = { .handle = virConnectOpen(uri) };

	for (size_t i = 0; i < LIBVIRT_EVENTS; i++)
		connection.events[i] = -1;
	if (connection.handle && listen_for_end(&connection, listener) == 0 &&
		listen_for_events(&connection, listener) == 0) {
		*ret = connection;
		return 0;
	}
	/* Before the next call resets it. */
	*ret_message = strdup(virGetLastErrorMessage());
	libvirt_connection_close(&connection);
	return -EIO;
}

void libvirt_connection_close(struct libvirt_connection *connection)
{
	if (!connection->handle)
		return;
	/* Each callback holds the connection, so that closing it would not end it. */
	for (size_t i = 0; i < LIBVIRT_EVENTS; i++)
		if (connection->events[i] >= 0)
			(void)virConnectDomainEventDeregisterAny(
				connection->handle, connection->events[i]);
	(void)virConnectUnregisterCloseCallback(connection->handle, on_close);
	(void)virConnectClose(connection->handle);
	connection->handle = NULL;
}

/* ---- metadata ---- */

static int domain_set_metadata(virDomainPtr domain, const char *xml)
{
	const int active = virDomainIsActive(domain);
	const int persistent = virDomainIsPersistent(domain);

	if (active < 0 || persistent < 0)
		return -EIO;
	/* No key for removing: there is no element that it would be the prefix of. */
	if (virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, xml,
		    xml ? LIBVIRT_METADATA_KEY : NULL, LIBVIRT_METADATA_URI,
		    (active ? VIR_DOMAIN_AFFECT_LIVE : 0U) |
			    (persistent ? VIR_DOMAIN_AFFECT_CONFIG : 0U)) < 0)
		return -EIO;
	return 0;
}

int libvirt_connection_set_metadata(const struct libvirt_connection *connection, const char *uuid,
	const char *xml, char **ret_message)
{
	virDomainPtr domain = virDomainLookupByUUIDString(connection->handle, uuid);
	int r = -EIO;

	if (domain)
		r = domain_set_metadata(domain, xml);
	if (r < 0)
		*ret_message = strdup(virGetLastErrorMessage());
	if (domain)
		(void)virDomainFree(domain);
	return r;
}

int libvirt_connection_monitor(const struct libvirt_connection *connection, const char *uuid,
	const char *command, char **ret_message)
{
	virDomainPtr domain = virDomainLookupByUUIDString(connection->handle, uuid);
	int r = -EIO;

	if (domain && virDomainQemuMonitorCommand(domain, command, ret_message,
			      VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT) == 0)
		r = 0;
	if (r < 0)
		*ret_message = strdup(virGetLastErrorMessage());
	if (domain)
		(void)virDomainFree(domain);
	return r;
}
