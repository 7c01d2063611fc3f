"""Makes a forked child let go of what belongs to its parent.

This is the one place where the layers of snakeMQ find out that they are in a child.

Descriptors that a child holds keep the connections of a dead parent alive, and its ports taken. So
the child closes them at once, and does nothing else: shutting a connection down, saying goodbye in
TLS or removing the file of a Unix socket would affect what the parent still uses.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Protocol

__all__ = ["Owner", "count", "register"]

count: int = 0
"""How many forks have led from the process that imported this module to the present one. Read it as
``forks.count``, because it changes. Comparing it costs a send next to nothing; ``os.getpid()`` is a
system call."""


class Owner(Protocol):
    """Something that has open descriptors."""

    def abandon(self) -> None:
        """Close them in a child that has inherited them. Must take no lock: the thread that holds
        it does not exist in the child."""


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def register(owner: Owner) -> None:
    """Have ``owner.abandon()`` called in each child, as long as something refers to the owner.

    The child forgets the owner afterwards. Idempotent."""
    _owners.add(owner)


def _after_fork_in_child() -> None:
    global count
    count += 1
    for owner in list(_owners):
        _owners.discard(owner)
        with contextlib.suppress(Exception):  # the others still have their turn
            owner.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
