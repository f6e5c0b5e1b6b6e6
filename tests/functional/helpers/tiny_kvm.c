// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A virtual machine (tiny_machine.h) that checks its own memory. Options and line protocol:
 * checker_cli.h.
 */
#include "tools/lab/guest/tiny_machine.h"

/* Nothing but integer registers, and no call out of what is copied into the guest. */
#define PAGECHECK_ATTRIBUTES TINY_GUEST_ATTRIBUTES
#include "tools/lab/guest/checker_cli.h"

/* In the guest's own slot. */
enum {
	GUEST_MAILBOX = GUEST_FREE,
	GUEST_PAGE_RECORDS = 0x100000,
};

enum { SAY_READY = 1, SAY_ROUND = 2, SAY_WRONG = 3 };

/* Shared by guest and VMM; the VMM writes only while the guest is stopped. */
struct mailbox {
	struct pagecheck check; /* addresses are the guest's */
	uint64_t hot_writes, stray_writes, extra_writes;
	struct pagecheck_error error;
};

TINY_GUEST_FUNCTION static void guest_main(void *argument)
{
	struct mailbox *mailbox = argument;
	struct pagecheck *check = &mailbox->check;

	pagecheck_fill_all(check);
	guest_say(SAY_READY);
	for (;;) {
		bool right = pagecheck_round(
			check, mailbox->hot_writes, mailbox->stray_writes, &mailbox->error);

		guest_say(right ? SAY_ROUND : SAY_WRONG);
		pagecheck_rewrite_some(check, 0, check->page_count, mailbox->extra_writes);
	}
}

static struct mailbox *guest_start(
	struct machine *machine, const struct checker *checker, void *ram)
{
	uint64_t records = checker->check.page_count * sizeof(struct pagecheck_page);
	uint64_t own_bytes =
		(GUEST_PAGE_RECORDS + records + CHECKER_HUGE_BYTES) & ~(CHECKER_HUGE_BYTES - 1);
	struct mailbox *mailbox;

	machine_create(machine, checker_map(own_bytes, false), own_bytes);
	machine_add_memory(machine, 1, GUEST_RAM, ram, checker->mib << 20);
	mailbox = (struct mailbox *)(machine->own + GUEST_MAILBOX);
	*mailbox = (struct mailbox){
		.check = checker->check,
		.hot_writes = checker->hot_writes,
		.stray_writes = checker->stray_writes,
	};
	mailbox->check.memory = (uint64_t *)GUEST_RAM;
	mailbox->check.pages = (struct pagecheck_page *)GUEST_PAGE_RECORDS;
	machine_boot(machine, guest_main, GUEST_MAILBOX);
	return mailbox;
}

int main(int argc, char **argv)
{
	static struct checker checker;
	struct machine machine;
	struct mailbox *mailbox;
	uint64_t pages;

	checker_parse(&checker, argc, argv);
	if (checker.mib > GUEST_RAM_MIB_MAX)
		errx(2, "more than %d MiB", GUEST_RAM_MIB_MAX);
	void *ram = checker_map(checker.mib << 20, checker.hugepages);

	mailbox = guest_start(&machine, &checker, ram);
	for (;;) {
		switch (machine_run(&machine)) {
		case SAY_READY:
			checker_say_ready(&checker, ram);
			continue;
		case SAY_WRONG:
			checker.check.pages =
				(struct pagecheck_page *)(machine.own + GUEST_PAGE_RECORDS);
			return checker_say_wrong(&checker, &mailbox->error);
		}
		checker.rounds++;
		mailbox->extra_writes = 0;
		switch (checker_listen(&checker, &pages)) {
		case CHECKER_GO_ON:
			break;
		case CHECKER_WRITE:
			mailbox->extra_writes = pages;
			printf("wrote %llu\n", (unsigned long long)pages);
			break;
		case CHECKER_STOP:
			checker_say_status(&checker, 0);
			return 0;
		}
	}
}
