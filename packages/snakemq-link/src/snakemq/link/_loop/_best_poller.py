"""Which poller a loop gets."""

from __future__ import annotations

import select

from ._poller import EpollPoller, Poller


def make_poller() -> Poller:
    """The best one that the system has."""
    if hasattr(select, "epoll"):
        return EpollPoller()
    from ._selector_poller import SelectorPoller  # what it imports is not needed elsewhere

    return SelectorPoller()
