/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between the files that read QEMU's command line: its options' text, "key=value,key=value". */
#ifndef PAGEFOLD_GLUE_QEMU_OPTIONS_H
#define PAGEFOLD_GLUE_QEMU_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "hypervisor-glue/vmm.h"

/* Long enough for every value that is looked at; a longer one is not taken at all, because half a
 * name could be another VM's. */
#define QEMU_VALUE_BYTES VMM_NAME_BYTES

/* The last value of key in the option's text. first_may_be: the key may be left out in front. */
bool qemu_option_value(
	const char *text, const char *key, bool first_may_be, char ret[QEMU_VALUE_BYTES]);
/* key, key=on: a switch that is on. */
bool qemu_option_is_on(const char *text, const char *key);

/* The argument at *inout_offset; NULL behind the last one, or where the text ends without a NUL. */
const char *qemu_argument_next(const char *cmdline, size_t length, size_t *inout_offset);

/* Where the command line has QEMU listen for QMP clients; "" where it does not. */
void qemu_cmdline_find_qmp(const char *cmdline, size_t length, char ret[VMM_QMP_PATH_BYTES]);

#endif
