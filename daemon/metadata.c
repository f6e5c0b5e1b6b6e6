// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/metadata.h"

#include <errno.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define NAMESPACE "urn:pagefold:domain:1"

/* libvirt stores what it is given; a policy has four short attributes. */
#define XML_BYTES_MOST 4096

static void cleanup_document(xmlDocPtr *document)
{
	xmlFreeDoc(*document);
}

static void cleanup_xml_char(xmlChar **text)
{
	xmlFree(*text);
}

static int refuse(char reason[METADATA_REASON_BYTES], const char *sentence)
{
	snprintf(reason, METADATA_REASON_BYTES, "%s", sentence);
	return -EINVAL;
}

static int attribute_take(xmlDocPtr document, const xmlAttr *attribute, struct policy *policy,
	char reason[METADATA_REASON_BYTES])
{
	_cleanup_(cleanup_xml_char) xmlChar *value =
		xmlNodeListGetString(document, attribute->children, 1);

	if (attribute->ns)
		return refuse(reason, "the policy has an attribute of another namespace");
	return policy_set_key(policy, (const char *)attribute->name,
		value ? (const char *)value : "", reason);
}

static int element_check(const xmlNode *element, char reason[METADATA_REASON_BYTES])
{
	if (!element || strcmp((const char *)element->name, "policy") != 0)
		return refuse(reason, "the element of " NAMESPACE " must be <policy .../>");
	if (element->ns && strcmp((const char *)element->ns->href, NAMESPACE) != 0)
		return refuse(reason, "the policy is not of the namespace " NAMESPACE);
	for (const xmlNode *child = element->children; child; child = child->next)
		if (child->type == XML_ELEMENT_NODE)
			return refuse(reason, "<policy> has attributes only, and no elements");
	return 0;
}

int metadata_parse(const char *xml, struct policy *policy, char reason[METADATA_REASON_BYTES])
{
	_cleanup_(cleanup_document) xmlDocPtr document = NULL;
	struct policy parsed = *policy;
	const xmlNode *element;
	int error;

	if (strlen(xml) > XML_BYTES_MOST)
		return refuse(reason, "the policy is longer than 4096 bytes");
	/* No network, no entities, no messages on stderr. */
	document = xmlReadMemory(xml, (int)strlen(xml), NULL, NULL,
		XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (!document)
		return refuse(reason, "the policy is not well-formed XML");
	element = xmlDocGetRootElement(document);
	error = element_check(element, reason);
	for (const xmlAttr *attribute = error ? NULL : element->properties; !error && attribute;
		attribute = attribute->next)
		error = attribute_take(document, attribute, &parsed, reason);
	if (error)
		return error;
	*policy = parsed;
	return 0;
}

char *metadata_format(const struct policy *policy)
{
	char *text;

	/* The names are of a fixed set, and a group is letters, digits, '.', '_' and '-'. */
	if (asprintf(&text, "<policy mode=\"%s\" group=\"%s\" hook=\"%s\" hugepages=\"%s\"/>",
		    policy_mode_name(policy->mode), policy->group, policy_hook_name(policy->hook),
		    policy_hugepages_name(policy->hugepages)) < 0)
		return NULL;
	return text;
}
