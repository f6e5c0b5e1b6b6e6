# SPDX-License-Identifier: GPL-2.0-or-later
"""Free memory that was in use a moment ago.

The machine that measures may be a guest whose own hypervisor takes free memory back (free page reporting of
virtio-balloon, two seconds after it was freed). Whoever gets it next waits for that hypervisor: 2.7 ms or
more for a huge page instead of 0.25, with the address space locked where MADV_COLLAPSE is who asks. On bare
metal nobody does, so what is said of a target's page faults must not contain it."""

import mmap
import time

HUGE_PAGE = 2 << 20


class WarmMemory:
    """Holds memory, in huge pages where there are any, that has been touched."""

    def __init__(self, size):
        begin = time.monotonic()
        self._mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._mapping.madvise(mmap.MADV_HUGEPAGE)
        for offset in range(0, size, HUGE_PAGE):
            self._mapping[offset] = 1
        self.touch_ms = (time.monotonic() - begin) * 1000 / (size / HUGE_PAGE)

    def free(self):
        """Now is when it is warm."""
        self._mapping.close()
