/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes of metadata and commands to a monitor on their way: a queue, and that each is answered
 * exactly once. Not thread-safe. */
#ifndef PAGEFOLD_GLUE_LIBVIRT_JOB_H
#define PAGEFOLD_GLUE_LIBVIRT_JOB_H

#include <stdint.h>

#include "hypervisor-glue/libvirt_link.h"

struct libvirt_job {
	char *uuid, *xml;
	char *command;        /* to the domain's monitor; NULL: a change of metadata */
	uint64_t deadline_ns; /* of a command: not begun any more after it, and given up then */
	libvirt_set_done_fn done; /* NULL: answered */
	void *token;
	struct libvirt_job *next;
};

/* NULL: no memory. */
struct libvirt_job *libvirt_job_new(
	const char *uuid, const char *xml, libvirt_set_done_fn done, void *token);
struct libvirt_job *libvirt_job_free(struct libvirt_job *job);
void libvirt_job_append(struct libvirt_job **queue, struct libvirt_job *job);
struct libvirt_job *libvirt_job_take(struct libvirt_job **queue); /* the first, or NULL */

/* Unless that was done before. message is copied; NULL is fine. */
void libvirt_job_answer(struct libvirt_job *job, int error, const char *message);
/* Answers and frees them all. */
void libvirt_job_answer_all(struct libvirt_job **queue, int error, const char *message);

#endif
