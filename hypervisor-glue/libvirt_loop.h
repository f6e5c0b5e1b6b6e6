/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt's event loop, one per process, in a thread of its own for as long as a link needs it.
 * libvirt calls its event implementation from any thread and may hold it for long, so it is never
 * the daemon's. */
#ifndef PAGEFOLD_GLUE_LIBVIRT_LOOP_H
#define PAGEFOLD_GLUE_LIBVIRT_LOOP_H

#include <pthread.h>

/* Counted. 0 or -errno. Before any connection is opened. */
int libvirt_loop_acquire(void);
/* The last one waits for the loop's thread, and so must not be called from it. */
void libvirt_loop_release(void);

/* A thread that no signal is delivered to. 0 or -errno. */
int libvirt_thread_start(pthread_t *ret, void *(*function)(void *), void *arg);

#endif
