/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A host of a test's own: real processes, of which only those that the test adds can be seen. Their
 * memory and page map are real; what they are mapped as, and what program they are, is what the test says.
 */
#ifndef PAGEFOLD_TESTS_FAKE_HOST_H
#define PAGEFOLD_TESTS_FAKE_HOST_H

#include <inttypes.h>

#include "tests/unit/child.h"
#include "tests/unit/fake_root.h"
#include "tests/unit/reserved_memory.h"

#define FAKE_MEMINFO                                                                               \
	"MemTotal: 8388608 kB\nMemFree: 1000 kB\nMemAvailable: 4194304 kB\nAnonPages: 4 kB\n"      \
	"AnonHugePages: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"

static inline void fake_host_init(struct fake_root *fake)
{
	static const char *const same[] = { "/proc/kpageflags", "/proc/kpagecount",
		"/proc/self/mountinfo", "/proc/stat" };

	fake_root_init(fake);
	for (size_t i = 0; i < ARRAY_SIZE(same); i++)
		fake_root_link(fake, same[i], same[i]);
	fake_root_write(fake, "/proc/meminfo", FAKE_MEMINFO);
	fake_root_write(fake, "/proc/sys/vm/max_map_count", "65530\n");
	fake_root_write(fake, "/proc/sys/kernel/io_uring_disabled", "0\n");
}

/* A kernel with a KSM that nobody drives. */
static inline void fake_host_add_ksm(const struct fake_root *fake)
{
	static const struct {
		const char *name, *text;
	} files[] = {
		{ "run", "0\n" }, { "pages_to_scan", "100\n" }, { "sleep_millisecs", "20\n" },
		{ "smart_scan", "1\n" }, { "use_zero_pages", "0\n" },
		{ "advisor_mode", "[none] scan-time\n" }, { "full_scans", "0\n" },
		{ "pages_shared", "0\n" }, { "pages_sharing", "0\n" }, { "pages_unshared", "0\n" },
		{ "pages_volatile", "0\n" }, { "pages_scanned", "0\n" }, { "ksm_zero_pages", "0\n" },
		{ "merge_across_nodes", "1\n" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "/sys/kernel/mm/ksm/%s", files[i].name);
		fake_root_write(fake, path, files[i].text);
	}
}

static inline const char *fake_host_path(pid_t pid, const char *name)
{
	static char paths[4][64];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "/proc/%d/%s", (int)pid, name);
	return path;
}

/* One mapping as smaps prints it; flags like "rd wr mr mw me hg mg". */
struct fake_vma {
	uint64_t start, end;
	const char *flags;
	const char *permissions;      /* NULL: rw-p */
	unsigned long rss_kib, pss_kib, ksm_kib;
};

static inline void fake_host_map(
	const struct fake_root *fake, pid_t pid, const struct fake_vma *vmas, size_t count)
{
	char *text = NULL;
	size_t length;
	FILE *stream = open_memstream(&text, &length);

	assert_non_null(stream);
	for (size_t i = 0; i < count; i++)
		fprintf(stream,
			"%" PRIx64 "-%" PRIx64 " %s 00000000 00:00 0 \nRss: %lu kB\nPss: %lu kB\n"
			"KSM: %lu kB\nVmFlags: %s \n", vmas[i].start, vmas[i].end,
			vmas[i].permissions ? vmas[i].permissions : "rw-p", vmas[i].rss_kib,
			vmas[i].pss_kib, vmas[i].ksm_kib, vmas[i].flags);
	assert_int_equal(fclose(stream), 0);
	fake_root_write(fake, fake_host_path(pid, "smaps"), text);
	free(text);
}

static inline struct fake_vma fake_vma_of(
	const struct reserved_memory *memory, size_t offset, size_t bytes, const char *flags)
{
	return (struct fake_vma){
		.start = reserved_address(memory, offset),
		.end = reserved_address(memory, offset) + bytes,
		.flags = flags,
	};
}

/* A process that runs exe; nothing is mapped as long as fake_host_map() says nothing. */
static inline void fake_host_add_process(const struct fake_root *fake, pid_t pid, const char *exe)
{
	static const char *const real[] = { "stat", "pagemap", "mem", "status" };

	for (size_t i = 0; i < ARRAY_SIZE(real); i++)
		fake_root_link(fake, fake_host_path(pid, real[i]), fake_host_path(pid, real[i]));
	fake_root_link(fake, fake_host_path(pid, "exe"), exe);
	fake_root_make_parents(fake, fake_host_path(pid, "fd/"));
	fake_root_write(fake, fake_host_path(pid, "cgroup"), "0::/\n");
	fake_root_write(fake, fake_host_path(pid, "smaps"), "");
	fake_root_write(fake, fake_host_path(pid, "cmdline"), "");
}

static inline void fake_host_add_qemu(const struct fake_root *fake, pid_t pid, const char *name)
{
	char cmdline[128];
	int length;

	fake_host_add_process(fake, pid, "/usr/bin/qemu-system-x86_64");
	length = snprintf(cmdline, sizeof(cmdline), "qemu-system-x86_64%c-name%c%s", 0, 0, name);
	assert_in_range(length, 1, sizeof(cmdline) - 2);
	fake_root_write_bytes(
		fake, fake_host_path(pid, "cmdline"), cmdline, (size_t)length + 1);
}

/* As after its end, once somebody has waited for it. */
static inline void fake_host_remove(const struct fake_root *fake, pid_t pid)
{
	char path[512];

	fake_root_path(fake, fake_host_path(pid, ""), path);
	path[strlen(path) - 1] = '\0';
	assert_int_equal(nftw(path, fake_root_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#endif
