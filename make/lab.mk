# SPDX-License-Identifier: GPL-2.0-or-later
# What runs inside the guests of demo, bench and tests: static programs, built like the rest.

LAB_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tools/lab/guest/*.c)))

$(BUILD)/tools/lab/guest/%: tools/lab/guest/%.c
	@mkdir -p $(@D)
	$(call quiet,LINK)$(CC) $(CPPFLAGS) -std=gnu11 $(OPTIMIZE) $(WARNINGS) -MMD -MP -static -o $@ $<

.PHONY: lab demo

lab: $(LAB_PROGRAMS) $(TEST_HELPERS) # what demo, bench and functional tests start

demo: ## boot four real guests, fold them, and say what came back
	@tools/deps demo
	@$(MAKE) --no-print-directory all lab
	@PAGEFOLD_BUILD=$(abspath $(BUILD)) $(PYTHON) tools/demo
