/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ADDRESS:PORT on the host's own loopback. */
#ifndef PAGEFOLD_DAEMON_LISTEN_ADDRESS_H
#define PAGEFOLD_DAEMON_LISTEN_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

struct listen_address {
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} socket;
	socklen_t length; /* 0: none */
};

/* Room for "[ADDRESS]:PORT". */
#define LISTEN_ADDRESS_BYTES (INET6_ADDRSTRLEN + sizeof("[]:65535"))

/* "127.0.0.1:9743", "[::1]:9743"; port 0: the kernel chooses. -EINVAL: it is no such thing;
 * -EACCES: the address is not on loopback. */
int listen_address_parse(const char *text, struct listen_address *ret);
void listen_address_text(const struct listen_address *address, char ret[LISTEN_ADDRESS_BYTES]);
bool listen_address_same(const struct listen_address *one, const struct listen_address *other);

/* A listening socket, or -errno. *ret_bound has the port that the kernel chose. */
int listen_address_open(const struct listen_address *address, struct listen_address *ret_bound);

#endif
