/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a remote call needs of the target's address space: an instruction to run, a place to write.
 */
#ifndef PAGEFOLD_ATTACH_LAYOUT_H
#define PAGEFOLD_ATTACH_LAYOUT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct layout {
	uint64_t instruction;            /* a system call instruction in executable memory */
	uint64_t stack_start, stack_end; /* the main thread's stack as the kernel made it */
};

/* Read before the target is stopped. -ENOENT: one of them is not there; -ESRCH, -EACCES, -errno. */
int layout_read(pid_t pid, struct layout *ret);

/*
 * Where bytes (a multiple of 16) may be borrowed while the main thread is stopped with this stack
 * pointer: below its red zone; or, where it runs on another stack (a coroutine, a goroutine), at
 * the far end of the kernel's stack, which is that thread's alone and not in use so deep. A foreign
 * stack may be too small for us, with somebody else's memory right below it. 0: nowhere.
 */
uint64_t layout_scratch(const struct layout *layout, uint64_t stack_pointer, size_t bytes);

#endif
