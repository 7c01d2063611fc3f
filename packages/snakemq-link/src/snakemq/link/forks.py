"""What was made before a fork belongs to the parent; the child lets go of it.

For the layers of snakeMQ, and the one place where all of them find out that this is a child.

Descriptors that a child holds keep the connections of a dead parent alive, and its ports taken. So
it closes them at once, and does nothing else: to shut a connection down, to say goodbye in TLS or
to remove the file of a Unix socket would reach what the parent still uses.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from typing import Protocol

__all__ = ["Owner", "count", "register"]

count: int = 0
"""How often this process was made by a fork. Read it as ``forks.count``, because it changes. To
compare numbers costs a send next to nothing; ``os.getpid()`` is a system call."""


class Owner(Protocol):
    """Something that has open descriptors."""

    def abandon(self) -> None:
        """Close them, in a child that has inherited them. Takes no lock: the thread that held it
        does not exist here."""


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def register(owner: Owner) -> None:
    """Have ``owner.abandon()`` called in each child, as long as the owner is referred to.

    The child forgets the owner then. Idempotent."""
    _owners.add(owner)


def _after_fork_in_child() -> None:
    global count
    count += 1
    for owner in list(_owners):
        _owners.discard(owner)
        with contextlib.suppress(Exception):  # the others come after it
            owner.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
