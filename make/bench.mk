# SPDX-License-Identifier: GPL-2.0-or-later
# Programs that `make bench` starts, made of the modules that they measure.

BENCH_PROGRAMS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tools/benchmark/*.c)))

$(BUILD)/tools/benchmark/%: $(BUILD)/tools/benchmark/%.o $(DAEMON_OBJS) $(LIBRARIES)
	$(call quiet,LINK)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS) $(ALLOCATOR)

lab: $(BENCH_PROGRAMS)
