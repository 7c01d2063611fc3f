"""Waking many threads at little cost."""

from __future__ import annotations

import os

_ONE, _LAST = b".", b"!"


class Bell:
    """Wakes threads that wait for it, one after the other.

    It is a pipe from which each of them reads a byte. A thread that releases a lock holds the GIL:
    the woken one runs, finds the GIL taken and sleeps again. A thread in a system call is woken
    without the GIL, and itself wakes the next one before it needs that. Measured with 100 threads
    on one CPU, for each thread that is woken: 2.4 and 1.1 switches, 11 and 5.3 µs of CPU.

    Raises ``OSError`` when there are no file descriptors left, of which it needs two.
    """

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def wait(self) -> bool:
        """Sleep until it rings for this thread. Returns True for the last one that
        :meth:`ring_for_the_last` wakes: no thread waits any more."""
        return os.read(self._reader, 1) == _LAST

    def ring(self) -> None:
        """Wake one thread that waits, or else the next one that will."""
        os.write(self._writer, _ONE)

    def ring_for_the_last(self, threads: int) -> None:
        """Wake all threads that wait. ``threads``: how many these are, one or more."""
        os.write(self._writer, _ONE * (threads - 1) + _LAST)

    def __del__(self) -> None:
        if hasattr(self, "_writer"):  # there may have been no descriptors
            os.close(self._reader)
            os.close(self._writer)
