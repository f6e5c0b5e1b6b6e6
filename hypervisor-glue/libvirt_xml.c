// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/libvirt_xml.h"

#include <libxml/xmlreader.h>
#include <string.h>

#include "common/cleanup.h"

/* libvirt's own limit for one message is 32 MiB. */
#define XML_BYTES_MOST (64 << 20)

/* The elements from the root down to the one that is looked for. */
static const char *const nosharepages_path[] = { "domain", "memoryBacking", "nosharepages" };
#define PATH_LENGTH ((int)ARRAY_SIZE(nosharepages_path))

/*
 * Follows the path from element to element; matched is how much of it holds where the reader is.
 * Returns false when the answer is there, in *ret.
 */
static bool follow_element(xmlTextReaderPtr reader, int *matched, bool *ret)
{
	const int depth = xmlTextReaderDepth(reader);
	const xmlChar *name = xmlTextReaderConstName(reader);

	if (*matched > depth)
		*matched = depth;
	if (depth >= PATH_LENGTH || *matched != depth || !name ||
		strcmp((const char *)name, nosharepages_path[depth]) != 0) {
		/* Some other document altogether. */
		*ret = depth == 0;
		return depth != 0;
	}
	*matched = depth + 1;
	*ret = *matched == PATH_LENGTH;
	return !*ret;
}

static void ignore_error(void *data _unused_, const char *message _unused_,
	xmlParserSeverities severity _unused_, xmlTextReaderLocatorPtr locator _unused_)
{
	/* The parser prints some on stderr whatever its options say. */
}

static bool read_on(xmlTextReaderPtr reader, bool *ret)
{
	int matched = 0;
	int more;

	while ((more = xmlTextReaderRead(reader)) == 1) {
		switch (xmlTextReaderNodeType(reader)) {
		case XML_READER_TYPE_DOCUMENT_TYPE:
		case XML_READER_TYPE_ENTITY_REFERENCE:
			/* libvirt writes neither. */
			return false;
		case XML_READER_TYPE_ELEMENT:
			if (!follow_element(reader, &matched, ret))
				return true;
			break;
		}
	}
	return more == 0;
}

bool libvirt_xml_has_nosharepages(const char *xml)
{
	const size_t length = strlen(xml);
	xmlTextReaderPtr reader;
	bool found = false, readable;

	if (length > XML_BYTES_MOST)
		return true;
	/* libvirt's strings are UTF-8 whatever they say. The parser's own limits stay in force. */
	reader = xmlReaderForMemory(xml, (int)length, NULL, "UTF-8",
		XML_PARSE_NONET | XML_PARSE_IGNORE_ENC | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (!reader)
		return true;
	xmlTextReaderSetErrorHandler(reader, ignore_error, NULL);
	readable = read_on(reader, &found);
	xmlFreeTextReader(reader);
	return !readable || found;
}
