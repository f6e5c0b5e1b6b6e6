// SPDX-License-Identifier: GPL-2.0-or-later
#include "daemon/listen_address.h"

#include <arpa/inet.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/number.h"

/* As many connections as are served at a time. */
#define BACKLOG 64

static int parse_host(const char *host, bool is_v6, in_port_t port, struct listen_address *address)
{
	if (is_v6) {
		address->length = sizeof(address->socket.v6);
		address->socket.v6.sin6_family = AF_INET6;
		address->socket.v6.sin6_port = port;
		if (inet_pton(AF_INET6, host, &address->socket.v6.sin6_addr) != 1)
			return -EINVAL;
		return IN6_IS_ADDR_LOOPBACK(&address->socket.v6.sin6_addr) ? 0 : -EACCES;
	}
	address->length = sizeof(address->socket.v4);
	address->socket.v4.sin_family = AF_INET;
	address->socket.v4.sin_port = port;
	if (inet_pton(AF_INET, host, &address->socket.v4.sin_addr) != 1)
		return -EINVAL;
	/* 127.0.0.0/8 */
	return ntohl(address->socket.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET ? 0 : -EACCES;
}

int listen_address_parse(const char *text, struct listen_address *ret)
{
	struct listen_address address;
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	const bool is_v6 = length > 2 && text[0] == '[' && text[length - 1] == ']';
	char host[INET6_ADDRSTRLEN];
	uint64_t port;
	int r;

	if (is_v6) {
		text++;
		length -= 2;
	}
	if (length == 0 || length >= sizeof(host) || number_parse_u64(colon + 1, 10, &port) < 0 ||
		port > UINT16_MAX)
		return -EINVAL;
	memcpy(host, text, length);
	host[length] = '\0';
	memset(&address, 0, sizeof(address));
	r = parse_host(host, is_v6, htons((uint16_t)port), &address);
	if (r == 0)
		*ret = address;
	return r;
}

void listen_address_text(const struct listen_address *address, char ret[LISTEN_ADDRESS_BYTES])
{
	const bool is_v6 = address->socket.any.sa_family == AF_INET6;
	const void *host =
		is_v6 ? (const void *)&address->socket.v6.sin6_addr : &address->socket.v4.sin_addr;
	char text[INET6_ADDRSTRLEN] = "?";

	(void)inet_ntop(address->socket.any.sa_family, host, text, sizeof(text));
	(void)snprintf(ret, LISTEN_ADDRESS_BYTES, is_v6 ? "[%s]:%u" : "%s:%u", text,
		ntohs(is_v6 ? address->socket.v6.sin6_port : address->socket.v4.sin_port));
}

bool listen_address_same(const struct listen_address *one, const struct listen_address *other)
{
	return one->length == other->length &&
	       memcmp(&one->socket, &other->socket, one->length) == 0;
}

int listen_address_open(const struct listen_address *address, struct listen_address *ret_bound)
{
	_cleanup_close_ int fd = socket(address->socket.any.sa_family,
		SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	struct listen_address bound = *address;
	const int yes = 1;

	if (fd < 0)
		return -errno;
	/* Connections of the daemon before us may linger; nobody else can listen there by this. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
		bind(fd, &address->socket.any, address->length) < 0 || listen(fd, BACKLOG) < 0 ||
		getsockname(fd, &bound.socket.any, &bound.length) < 0)
		return -errno;
	*ret_bound = bound;
	return steal_fd(&fd);
}
