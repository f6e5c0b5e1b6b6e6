# SPDX-License-Identifier: GPL-2.0-or-later
PREFIX        ?= /usr/local
SYSCONFDIR    ?= /etc
UNITDIR       ?= $(PREFIX)/lib/systemd/system
CC            ?= cc
CLANG         ?= clang
OPTIMIZE      ?= -O2 -g
BUILD         ?= build
PYTHON        ?= /usr/bin/python3
V             ?= 0

VERSION := 0.1.0

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla \
            -Wformat=2 -Wundef
XML_CFLAGS := $(shell pkg-config --cflags libxml-2.0 2>/dev/null)
# With or without a libtinfo of its own, as the distribution has it.
CURSES_LIBS := $(shell pkg-config --libs ncursesw 2>/dev/null || echo -lncursesw)
CPPFLAGS += -D_GNU_SOURCE -I. -DPAGEFOLD_VERSION='"$(VERSION)"' \
            -DPAGEFOLD_LIBEXECDIR='"$(PREFIX)/libexec/pagefold"' $(XML_CFLAGS)
ALL_CFLAGS = -std=gnu11 $(OPTIMIZE) $(WARNINGS) $(SANITIZE) -pthread -MMD -MP $(CFLAGS)

GLUE_LIBS    := -luring -ljansson
LIBVIRT_LIBS := -lvirt-qemu -lvirt -lxml2
HASHING_LIBS := -lxxhash
DAEMON_LIBS  := -lsystemd -lmicrohttpd -ljansson -linih -lm $(LIBVIRT_LIBS) $(HASHING_LIBS) $(GLUE_LIBS)
CLI_LIBS     := $(CURSES_LIBS) -lcurl-gnutls -ljansson -linih $(HASHING_LIBS) $(GLUE_LIBS)
# The sanitizers bring an allocator of their own.
ALLOCATOR    := $(if $(SANITIZE),,-ljemalloc)

# What the CLI shares with the daemon: stateless modules only.
CLI_DAEMON_MODULES := config listen_address policy ini policy_file estimate guest footprint extent extent_view read_size scan json_text

sources = $(sort $(wildcard $(1)))
objects = $(patsubst %.c,$(BUILD)/%.o,$(1))

COMMON_OBJS  := $(call objects,$(call sources,common/*.c))
HASHING_OBJS := $(call objects,$(call sources,hashing/*.c))
GLUE_OBJS    := $(call objects,$(call sources,hypervisor-glue/*.c))
ATTACH_OBJS  := $(call objects,$(call sources,hypervisor-glue/attach/*.c))
DAEMON_OBJS  := $(call objects,$(filter-out daemon/main.c,$(call sources,daemon/*.c)))
CLI_OBJS     := $(call objects,$(filter-out tools/pagefold/main.c,$(call sources,tools/pagefold/*.c)))
# Archives: a program takes what it uses of them, so that the CLI loads no libvirt. In the order in which
# each uses only those after it.
LIBRARIES    := $(BUILD)/libglue.a $(BUILD)/libhashing.a $(BUILD)/libcommon.a
UNIT_TESTS   := $(patsubst %.c,$(BUILD)/%,$(call sources,tests/unit/test_*.c))
FUZZERS      := $(patsubst %.c,$(BUILD)/%,$(call sources,tests/fuzz/fuzz_*.c))
TEST_HELPERS := $(patsubst %.c,$(BUILD)/%,$(call sources,tests/functional/helpers/*.c))

PROGRAMS := $(BUILD)/pagefoldd $(BUILD)/pagefold $(BUILD)/pagefold-attach

ifeq ($(V),0)
quiet = @printf '  %-8s %s\n' $(1) '$(patsubst $(BUILD)/%,%,$@)';
else
quiet =
endif

all: $(PROGRAMS) ## build the daemon, the CLI and the attach helper

$(BUILD)/libglue.a: $(GLUE_OBJS)
$(BUILD)/libhashing.a: $(HASHING_OBJS)
$(BUILD)/libcommon.a: $(COMMON_OBJS)
$(LIBRARIES):
	@rm -f $@
	$(call quiet,AR)$(AR) rcs $@ $^

$(BUILD)/pagefoldd: $(BUILD)/daemon/main.o $(DAEMON_OBJS) $(LIBRARIES)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS) $(ALLOCATOR)

$(BUILD)/pagefold: $(BUILD)/tools/pagefold/main.o $(CLI_OBJS) \
		$(patsubst %,$(BUILD)/daemon/%.o,$(CLI_DAEMON_MODULES)) $(LIBRARIES)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(CLI_LIBS)

$(BUILD)/pagefold-attach: $(ATTACH_OBJS) $(BUILD)/libcommon.a
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(call quiet,CC)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# Every unit test links every module, so that a test can reach whatever it is about.
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(DAEMON_OBJS) $(CLI_OBJS) \
		$(filter-out %/main.o,$(ATTACH_OBJS)) $(LIBRARIES)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS) $(CLI_LIBS) -lcmocka

# Static, which the sanitizers are not; and they are not what is tested.
$(BUILD)/tests/functional/helpers/%: tests/functional/helpers/%.c
	@mkdir -p $(@D)
	$(call quiet,LINK)$(CC) $(CPPFLAGS) $(filter-out $(SANITIZE),$(ALL_CFLAGS)) -static -o $@ $<

# The one helper that is made of what it tests.
$(BUILD)/tests/functional/helpers/libvirt_probe: $(BUILD)/tests/functional/helpers/libvirt_probe.o $(LIBRARIES)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ -ljansson $(LIBVIRT_LIBS)

install: all ## install below DESTDIR and PREFIX; starts and enables nothing
	install -D -m 755 $(BUILD)/pagefoldd $(DESTDIR)$(PREFIX)/sbin/pagefoldd
	install -D -m 755 $(BUILD)/pagefold $(DESTDIR)$(PREFIX)/bin/pagefold
	install -D -m 755 $(BUILD)/pagefold-attach $(DESTDIR)$(PREFIX)/libexec/pagefold/pagefold-attach
	install -d $(DESTDIR)$(UNITDIR)
	sed 's,@SBINDIR@,$(PREFIX)/sbin,g; s,@BINDIR@,$(PREFIX)/bin,g; s,@LIBEXECDIR@,$(PREFIX)/libexec/pagefold,g' \
		daemon/pagefoldd.service.in >$(DESTDIR)$(UNITDIR)/pagefoldd.service
	install -d $(DESTDIR)$(SYSCONFDIR)/pagefold/pagefold.conf.d $(DESTDIR)$(SYSCONFDIR)/pagefold/policy.d
	test -e $(DESTDIR)$(SYSCONFDIR)/pagefold/pagefold.conf || \
		install -m 644 daemon/pagefold.conf $(DESTDIR)$(SYSCONFDIR)/pagefold/pagefold.conf
	install -D -m 644 tools/prometheus/pagefold.rules.yml \
		$(DESTDIR)$(PREFIX)/share/pagefold/pagefold.rules.yml
	install -D -m 644 daemon/openapi.yaml $(DESTDIR)$(PREFIX)/share/pagefold/openapi.yaml
	install -D -m 644 tools/completions/pagefold.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/pagefold
	for page in man/*.[1-8]; do \
		install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/} || exit 1; \
	done

check: deps-test ## run every test; needs root for most of them
	@$(MAKE) --no-print-directory check-run

check-run: all lab $(UNIT_TESTS)
	@PAGEFOLD_BUILD=$(abspath $(BUILD)) tests/run

check-unit: all $(UNIT_TESTS) ## run the unit tests only
	@PAGEFOLD_BUILD=$(abspath $(BUILD)) tests/run --unit

ASAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

check-asan: deps-test ## run every test with AddressSanitizer and UndefinedBehaviorSanitizer
	@PAGEFOLD_SANITIZED=yes $(MAKE) --no-print-directory check-run BUILD=$(BUILD)/asan SANITIZE='$(ASAN)' OPTIMIZE='-O1 -g'

FUZZ_SECONDS ?= 30

fuzz: deps-test ## run each fuzzer for FUZZ_SECONDS
	@$(MAKE) --no-print-directory fuzz-build BUILD=$(BUILD)/fuzz CC=$(CLANG) \
		SANITIZE='-fsanitize=fuzzer-no-link,address,undefined' OPTIMIZE='-O1 -g'
	@tests/fuzz/run $(BUILD)/fuzz $(FUZZ_SECONDS)

fuzz-build: $(FUZZERS)

$(BUILD)/tests/fuzz/%: $(BUILD)/tests/fuzz/%.o $(DAEMON_OBJS) $(filter-out %/main.o,$(ATTACH_OBJS)) \
		$(LIBRARIES)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS)

bench: ## compare with ksmd flat out on real guests, side by side; BENCH_OPTIONS=--help tells more
	@$(MAKE) --no-print-directory deps-bench
	@$(MAKE) --no-print-directory all lab
	@PAGEFOLD_BUILD=$(abspath $(BUILD)) $(PYTHON) tools/bench $(BENCH_OPTIONS)

bench-full: ## every measurement, four hours or so; what this build has measured is not measured again
	@$(MAKE) --no-print-directory bench BENCH_OPTIONS='--full $(BENCH_OPTIONS)'

format: ## format the C sources
	clang-format -i $$(git ls-files '*.c' '*.h')

clean: ## remove what was built (what deps unpacked stays)
	rm -rf $(BUILD)

help: ## this list
	@echo 'make [TARGET] [PREFIX=$(PREFIX)] [DESTDIR=] [BUILD=$(BUILD)] [V=1]'
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | sort | column -t -s '|'

include make/*.mk

.PHONY: all install check check-run check-unit check-asan fuzz fuzz-build bench bench-full format clean help
.SECONDARY:
-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
