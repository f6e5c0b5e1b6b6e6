/* SPDX-License-Identifier: GPL-2.0-or-later */
/* VMs of an answer of the daemon as a table, and below it what there is to say about them. */
#ifndef PAGEFOLD_CLI_VM_TABLE_H
#define PAGEFOLD_CLI_VM_TABLE_H

#include <jansson.h>

void vm_table_print(const json_t *vms);

#endif
