// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * twins [--hugepages] [--mergeable] [--scatter SEED] SPEC...
 *
 * Lays out memory whose twins are known, page after page, says where, and holds it until its
 * standard input ends. A SPEC is one of
 *
 *   z*N      N zero pages, written, so that each is a page of its own
 *   o*N      N pages only read: the kernel's zero page, nothing to gain
 *   h*N      N holes: never touched
 *   u*N      N pages that no other page is like, here or elsewhere
 *   cK*N     N copies of contents K, the same in every process
 *   rK*N     a run: contents K, K+1, ... K+N-1, once each
 *
 * --scatter deals the pages over the region in an order of its own; --mergeable has the process mark them
 * for KSM by itself.
 *
 * Says: "ready PID START LENGTH", then what counting must give for this process by itself:
 * "zero N duplicate N distinct N self N unique N holes N".
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, WORDS = PAGE_BYTES / 8, CONTENTS_MAX = 1 << 20 };

static const unsigned long huge_bytes = 2UL << 20;

struct page_spec {
	char kind; /* z o h u c */
	uint32_t content;
};

struct layout {
	struct page_spec *pages;
	size_t count;
};

static void fail(const char *what, const char *text)
{
	fprintf(stderr, "twins: %s: %s\n", what, text);
	exit(2);
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
	x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
	return x ^ (x >> 33);
}

static void layout_add(struct layout *layout, char kind, uint32_t content)
{
	/* Grown by halves would be faster; a few thousand pages do not care. */
	struct page_spec *pages =
		realloc(layout->pages, (layout->count + 1) * sizeof *layout->pages);

	if (!pages)
		fail("realloc", "out of memory");
	pages[layout->count++] = (struct page_spec){ .kind = kind, .content = content };
	layout->pages = pages;
}

static void layout_parse(struct layout *layout, const char *text)
{
	bool numbered = text[0] == 'c' || text[0] == 'r';
	unsigned content = 0, count = 0;
	int fields = numbered ? sscanf(text, "%*c%u*%u", &content, &count) - 1
			      : sscanf(text, "%*c*%u", &count);

	if (!text[0] || !strchr("zohucr", text[0]) || fields != 1 || count == 0 ||
		content + (uint64_t)count > CONTENTS_MAX)
		fail("not a SPEC", text);
	for (unsigned i = 0; i < count; i++) {
		if (text[0] == 'r')
			layout_add(layout, 'c', content + i);
		else
			layout_add(layout, text[0], content);
	}
}

/* Fisher and Yates: every order is as likely, and the same seed gives the same. */
static void layout_scatter(struct layout *layout, uint64_t seed)
{
	for (size_t i = layout->count; i > 1; i--) {
		size_t j = mix(seed + i) % i;
		struct page_spec held = layout->pages[i - 1];

		layout->pages[i - 1] = layout->pages[j];
		layout->pages[j] = held;
	}
}

static void page_write(uint64_t *words, const struct page_spec *page, uint64_t private_key)
{
	switch (page->kind) {
	case 'z':
		/* Written as something else first: no compiler may take it for granted that the
		 * page is zero already. */
		*(volatile uint64_t *)words = 1;
		memset(words, 0, PAGE_BYTES);
		break;
	case 'o':
		(void)*(volatile uint64_t *)words;
		break;
	case 'u':
	case 'c':
		for (uint64_t i = 0; i < WORDS; i++)
			words[i] =
				mix((page->kind == 'u' ? private_key : ~(uint64_t)page->content) *
						WORDS +
					i);
		break;
	}
}

static void print_count(const struct layout *layout)
{
	uint32_t *copies = calloc(CONTENTS_MAX, sizeof *copies);
	unsigned zero = 0, duplicate = 0, distinct = 0, unique = 0, holes = 0;

	if (!copies)
		fail("calloc", "out of memory");
	for (size_t i = 0; i < layout->count; i++) {
		const struct page_spec *page = &layout->pages[i];

		zero += page->kind == 'z';
		unique += page->kind == 'u';
		holes += page->kind == 'h' || page->kind == 'o';
		if (page->kind == 'c')
			copies[page->content]++;
	}
	for (size_t i = 0; i < CONTENTS_MAX; i++) {
		unique += copies[i] == 1;
		if (copies[i] >= 2) {
			duplicate += copies[i];
			distinct++;
		}
	}
	free(copies);
	printf("zero %u duplicate %u distinct %u self %u unique %u holes %u\n", zero, duplicate,
		distinct, duplicate - distinct, unique, holes);
}

/* Begins on a huge page's border; what is left over at either end is given back. */
static char *region_map(size_t bytes, bool hugepages)
{
	char *start = mmap(NULL, bytes + huge_bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED)
		fail("mmap", "out of memory");
	size_t before = -(uintptr_t)start % huge_bytes;

	if (before)
		munmap(start, before);
	if (before < huge_bytes)
		munmap(start + before + bytes, huge_bytes - before);
	madvise(start + before, bytes, hugepages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return start + before;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "hugepages", 0, NULL, 'g' },
		{ "mergeable", 0, NULL, 'm' }, { "scatter", 1, NULL, 's' }, { 0 } };
	struct layout layout = { 0 };
	bool hugepages = false, mergeable = false;
	uint64_t seed = 0, private_key;
	char buffer[64];

	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == '?')
			return 2;
		hugepages |= option == 'g';
		mergeable |= option == 'm';
		if (option == 's')
			seed = strtoull(optarg, NULL, 0);
	}
	for (int i = optind; i < argc; i++)
		layout_parse(&layout, argv[i]);
	if (layout.count == 0)
		fail("usage", "twins [--hugepages] [--mergeable] [--scatter SEED] SPEC...");
	if (seed)
		layout_scatter(&layout, seed);
	if (getrandom(&private_key, sizeof private_key, 0) != sizeof private_key)
		return 2;

	char *region = region_map(layout.count * PAGE_BYTES, hugepages);

	for (size_t i = 0; i < layout.count; i++)
		page_write(
			(uint64_t *)(region + i * PAGE_BYTES), &layout.pages[i], private_key + i);
	if (mergeable && madvise(region, layout.count * PAGE_BYTES, MADV_MERGEABLE) < 0)
		fail("madvise", "no KSM");
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("ready %d %p %zu\n", getpid(), (void *)region, layout.count * PAGE_BYTES);
	print_count(&layout);
	while (read(STDIN_FILENO, buffer, sizeof buffer) > 0)
		;
	return 0;
}
