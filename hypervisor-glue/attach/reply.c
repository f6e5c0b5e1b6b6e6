// SPDX-License-Identifier: GPL-2.0-or-later
#include "hypervisor-glue/attach/reply.h"

#include <errno.h>
#include <sys/socket.h>

int reply_send(int socket, const struct attach_reply *reply)
{
	char nothing;

	if (send(socket, reply, sizeof(*reply), MSG_NOSIGNAL) != (ssize_t)sizeof(*reply))
		return -errno;
	while (reply->descriptor >= 0 && recv(socket, &nothing, sizeof(nothing), 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}
