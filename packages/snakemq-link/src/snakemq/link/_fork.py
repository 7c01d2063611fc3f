"""How often this process was made by a fork: what was made before belongs to another one."""

from __future__ import annotations

import os

count = 0
"""A comparison of numbers costs a send next to nothing; ``os.getpid()`` is a system call."""


def _after_fork_in_child() -> None:
    global count
    count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
