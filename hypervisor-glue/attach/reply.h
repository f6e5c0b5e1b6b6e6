/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The helper's end of attach_protocol.h. */
#ifndef PAGEFOLD_ATTACH_REPLY_H
#define PAGEFOLD_ATTACH_REPLY_H

#include "hypervisor-glue/attach/attach_protocol.h"

/* Sends the reply and, where it names a descriptor, waits until the other end has closed the
 * socket. 0 or -errno. */
int reply_send(int socket, const struct attach_reply *reply);

#endif
