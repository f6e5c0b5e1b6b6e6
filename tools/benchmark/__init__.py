# SPDX-License-Identifier: GPL-2.0-or-later
"""The chapters of tools/bench: each measures one promise on real guests, side by side with a peer
where there is one, and says what was hoped for."""
