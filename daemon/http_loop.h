/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libmicrohttpd without threads: its epoll descriptor is a source of our event loop, and one timer
 * stands for whatever it wants to wait for.
 */
#ifndef PAGEFOLD_DAEMON_HTTP_LOOP_H
#define PAGEFOLD_DAEMON_HTTP_LOOP_H

#include <microhttpd.h>
#include <systemd/sd-event.h>

struct http_loop {
	struct MHD_Daemon *http; /* NULL: not started */
	sd_event_source *io, *timer, *resumed;
	unsigned connections_max;
};

struct http_server {
	/* libmicrohttpd's callbacks, both called with data, on the thread of the event loop. */
	MHD_AccessHandlerCallback step;
	MHD_RequestCompletedCallback completed;
	void *data;
	/* Bounds what somebody who opens connections and says nothing can hold. */
	unsigned connections_max;
};

/*
 * Serves on a listening socket, which on success is the loop's (*listen_fd is then -1). On failure
 * -errno, and http_loop_stop() is due all the same.
 */
int http_loop_start(
	struct http_loop *loop, sd_event *event, const struct http_server *server, int *listen_fd);
/* After MHD_resume_connection(): libmicrohttpd wants to be run. */
void http_loop_wake(struct http_loop *loop);
/* Closes every connection and the socket. None may be suspended. What was not started is fine. */
void http_loop_stop(struct http_loop *loop);

#endif
