/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Answers what a seccomp filter would say to a system call that has not been made: an interpreter
 * of the classic BPF that the kernel admits for seccomp (seccomp_check_filter() in
 * kernel/seccomp.c). Pure: program and call in, verdict out.
 */
#ifndef PAGEFOLD_ATTACH_SECCOMP_FILTER_H
#define PAGEFOLD_ATTACH_SECCOMP_FILTER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>

/*
 * 0 and the filter's 32-bit return value, or -EINVAL for a program that the kernel would not have
 * taken. Ends always: classic BPF only jumps forward.
 */
int seccomp_filter_run(const struct sock_filter *program, size_t length,
	const struct seccomp_data *call, uint32_t *ret_verdict);

#endif
