# SPDX-License-Identifier: GPL-2.0-or-later
"""What demo, bench and functional tests need: real guests, processes, the daemon, KSM's knobs.

Everything is a context manager that leaves nothing behind. Python's standard library only.
"""
