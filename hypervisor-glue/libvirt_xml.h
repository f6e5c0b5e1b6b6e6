/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a domain's XML says. Hostile text: nothing is fetched, no entity is expanded. */
#ifndef PAGEFOLD_GLUE_LIBVIRT_XML_H
#define PAGEFOLD_GLUE_LIBVIRT_XML_H

#include <stdbool.h>

/* Whether the domain asks never to share its pages: <domain><memoryBacking><nosharepages/>. True
 * also where the text cannot be read, or is none that libvirt writes: a no must not be overlooked.
 */
bool libvirt_xml_has_nosharepages(const char *xml);

#endif
