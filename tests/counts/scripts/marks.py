"""For scripts that run under strace."""

from __future__ import annotations

import os
import signal

# If the one who has started this process is killed, nobody is left to end it.
signal.alarm(120)


def mark() -> None:
    """Count from here on, or up to here: a system call that nobody else makes."""
    os.getppid()
