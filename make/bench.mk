# SPDX-License-Identifier: GPL-2.0-or-later
# Programs that `make bench` starts, made of the modules that they measure.

BENCH_PROGRAMS := $(addprefix $(BUILD)/tools/benchmark/,simulate_host choose_extents scan_memory)
BENCH_PARTS    := $(filter-out $(addsuffix .o,$(BENCH_PROGRAMS)),$(call objects,$(call sources,tools/benchmark/*.c)))

$(BENCH_PROGRAMS): %: %.o $(BENCH_PARTS) $(DAEMON_OBJS) $(LIBRARIES)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS) $(ALLOCATOR)

# A test that compares with what the bench compares with.
$(BUILD)/tests/unit/test_plan_greedy: $(BENCH_PARTS)

lab: $(BENCH_PROGRAMS)
