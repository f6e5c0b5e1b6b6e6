// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/libvirt_domains.h"

#include <ctype.h>
#include <errno.h>
#include <libvirt/virterror.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"

static void cleanup_domains(struct libvirt_domains **domains)
{
	libvirt_domains_unref(*domains);
}
#define _cleanup_domains_ _cleanup_(cleanup_domains)

/* ---- the table ---- */

struct libvirt_domains *libvirt_domains_new(const char *trouble)
{
	struct libvirt_domains *domains = calloc(1, sizeof(*domains));

	if (!domains)
		return NULL;
	domains->references = 1;
	if (!trouble)
		return domains;
	domains->trouble = strdup(trouble);
	return domains->trouble ? domains : libvirt_domains_unref(domains);
}

/* Room for so many domains. */
static int domains_reserve(struct libvirt_domains *domains, size_t most)
{
	domains->domains = calloc(most ? most : 1, sizeof(*domains->domains));
	return domains->domains ? 0 : -ENOMEM;
}

static int domain_copy(const struct libvirt_domain *domain, struct libvirt_domain *ret)
{
	char *policy_xml = NULL;

	if (domain->policy_xml) {
		policy_xml = strdup(domain->policy_xml);
		if (!policy_xml)
			return -ENOMEM;
	}
	*ret = *domain;
	ret->policy_xml = policy_xml;
	return 0;
}

struct libvirt_domains *libvirt_domains_with_trouble(
	const struct libvirt_domains *domains, const char *trouble)
{
	_cleanup_domains_ struct libvirt_domains *copy = libvirt_domains_new(trouble);

	if (!copy || domains_reserve(copy, domains->count) < 0)
		return NULL;
	for (size_t i = 0; i < domains->count; i++) {
		if (domain_copy(&domains->domains[i], &copy->domains[i]) < 0)
			return NULL;
		copy->count++;
	}
	return steal_pointer(&copy);
}

struct libvirt_domains *libvirt_domains_ref(struct libvirt_domains *domains)
{
	(void)__atomic_add_fetch(&domains->references, 1, __ATOMIC_RELAXED);
	return domains;
}

struct libvirt_domains *libvirt_domains_unref(struct libvirt_domains *domains)
{
	if (!domains || __atomic_sub_fetch(&domains->references, 1, __ATOMIC_ACQ_REL))
		return NULL;
	for (size_t i = 0; i < domains->count; i++)
		free(domains->domains[i].policy_xml);
	free(domains->domains);
	free(domains->trouble);
	free(domains);
	return NULL;
}

const struct libvirt_domain *libvirt_domains_find(
	const struct libvirt_domains *domains, const char *uuid)
{
	for (size_t i = 0; i < domains->count; i++)
		if (!strcmp(domains->domains[i].uuid, uuid))
			return &domains->domains[i];
	return NULL;
}

/* ---- what was heard of ---- */

static bool changes_have(const struct libvirt_changes *changes, const char *uuid)
{
	if (changes->all)
		return true;
	for (size_t i = 0; i < changes->count; i++)
		if (!strcmp(changes->uuids[i], uuid))
			return true;
	return false;
}

void libvirt_changes_add(struct libvirt_changes *changes, const char *uuid)
{
	if (!uuid || changes->count == LIBVIRT_CHANGES_MOST) {
		changes->all = true;
		return;
	}
	if (changes_have(changes, uuid))
		return;
	strncpy(changes->uuids[changes->count], uuid, VMM_UUID_BYTES - 1);
	changes->uuids[changes->count++][VMM_UUID_BYTES - 1] = '\0';
}

bool libvirt_changes_any(const struct libvirt_changes *changes)
{
	return changes->all || changes->count;
}

/* ---- asking ---- */

static void cleanup_domain_array(virDomainPtr **domains)
{
	for (virDomainPtr *domain = *domains; domain && *domain; domain++)
		(void)virDomainFree(*domain);
	free(*domains);
}

/*
 * Why a question about one domain failed: -ESRCH, it runs no longer; -EIO, the connection is gone;
 * -ENODATA, this domain alone cannot be read. The sentence is kept first: the next call resets it.
 */
static int domain_failure(virConnectPtr connection, char **ret_message)
{
	const int code = virGetLastErrorCode();
	char *message;

	if (code == VIR_ERR_NO_DOMAIN || code == VIR_ERR_OPERATION_INVALID)
		return -ESRCH;
	message = strdup(virGetLastErrorMessage());
	if (virConnectIsAlive(connection) == 1) {
		free(message);
		return -ENODATA;
	}
	*ret_message = message;
	return -EIO;
}

/* Its element of our namespace, or NULL; other errors as above. */
static int domain_read_policy(
	virConnectPtr connection, virDomainPtr domain, char **ret, char **ret_message)
{
	char *policy = virDomainGetMetadata(
		domain, VIR_DOMAIN_METADATA_ELEMENT, LIBVIRT_METADATA_URI, VIR_DOMAIN_AFFECT_LIVE);

	/* A hypervisor without metadata has no policies in it. */
	if (!policy && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN_METADATA &&
		virGetLastErrorCode() != VIR_ERR_NO_SUPPORT)
		return domain_failure(connection, ret_message);
	*ret = policy;
	return 0;
}

/*
 * A domain whose memory is arriving is paused for one of two reasons: it is just being started (from a file,
 * perhaps), or it is the destination of a migration. So is the source, in the last moments of one.
 */
static int domain_read_arriving(
	virConnectPtr connection, virDomainPtr domain, bool *ret, char **ret_message)
{
	int state, reason;

	if (virDomainGetState(domain, &state, &reason, 0) < 0)
		return domain_failure(connection, ret_message);
	*ret = state == VIR_DOMAIN_PAUSED && (reason == VIR_DOMAIN_PAUSED_STARTING_UP ||
						     reason == VIR_DOMAIN_PAUSED_MIGRATION);
	return 0;
}

static int domain_read(virConnectPtr connection, virDomainPtr domain, struct libvirt_domain *ret,
	char **ret_message)
{
	_cleanup_free_ char *xml = virDomainGetXMLDesc(domain, 0);
	int r = 0;

	if (xml) {
		ret->nosharepages = libvirt_xml_has_nosharepages(xml);
		r = domain_read_policy(connection, domain, &ret->policy_xml, ret_message);
	} else {
		r = domain_failure(connection, ret_message);
	}
	if (r == 0)
		r = domain_read_arriving(connection, domain, &ret->arriving, ret_message);
	if (r == -ENODATA) {
		/* What it wants is unknown: it is not shared. */
		ret->nosharepages = ret->arriving = true;
		r = 0;
	}
	return r;
}

struct reading {
	virConnectPtr connection;
	const struct libvirt_domains *old;
	const struct libvirt_changes *changes;
};

/* One domain into the table, from the old table where nothing was heard of it since. */
static int reading_add(const struct reading *reading, virDomainPtr domain,
	struct libvirt_domains *domains, char **ret_message)
{
	struct libvirt_domain *place = &domains->domains[domains->count];
	const struct libvirt_domain *known;
	int r;

	*place = (struct libvirt_domain){ .policy_xml = NULL };
	if (virDomainGetUUIDString(domain, place->uuid) < 0)
		return 0;
	for (char *c = place->uuid; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	place->id = virDomainGetID(domain);
	known = libvirt_domains_find(reading->old, place->uuid);
	if (known && known->id == place->id && !changes_have(reading->changes, place->uuid))
		r = domain_copy(known, place);
	else
		r = domain_read(reading->connection, domain, place, ret_message);
	if (!r)
		domains->count++;
	return r == -ESRCH ? 0 : r;
}

int libvirt_domains_read(virConnectPtr connection, const struct libvirt_domains *old,
	const struct libvirt_changes *changes, struct libvirt_domains **ret, char **ret_message)
{
	const struct reading reading = { connection, old, changes };
	_cleanup_domains_ struct libvirt_domains *domains = libvirt_domains_new(NULL);
	_cleanup_(cleanup_domain_array) virDomainPtr *active = NULL;
	int count, r;

	if (!domains)
		return -ENOMEM;
	count = virConnectListAllDomains(connection, &active, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
	if (count < 0) {
		*ret_message = strdup(virGetLastErrorMessage());
		return -EIO;
	}
	r = domains_reserve(domains, (size_t)count);
	for (int i = 0; i < count && !r; i++)
		r = reading_add(&reading, active[i], domains, ret_message);
	if (!r)
		*ret = steal_pointer(&domains);
	return r;
}
