"""Decides when to dial again. Pure."""

from __future__ import annotations

from collections.abc import Callable

from .._connections._socket import STABLE_AFTER

FIRST_DELAY = 0.03
GROWTH = 1.25
CLOSED_AT_ONCE_GROWTH = 1.6
REFUSED_GROWTH = 2.0


class Backoff:
    """Delays between attempts to connect: quick at first, then growing up to a ceiling.

    Each delay is ``GROWTH`` times the one before, from ``FIRST_DELAY`` seconds on. So the next
    attempt is never further away than about a quarter of the time waited so far: a listener that is
    back within a second is found within 0.3 s, one that is away for an hour is not hammered. Jitter
    takes off up to a quarter, so that the clients of a restarted server do not all come back in the
    same instant.
    """

    def __init__(self, ceiling: float, random: Callable[[], float]) -> None:
        """``ceiling``: longest delay in seconds; ``random``: gives floats from 0 to 1."""
        self._ceiling = ceiling
        self._random = random
        self._first = FIRST_DELAY
        self._delay = FIRST_DELAY

    def next_delay(self) -> float:
        """Seconds to wait before the next attempt."""
        delay = min(self._delay, self._ceiling)
        self._delay = min(self._delay * GROWTH, self._ceiling)
        return delay * (1 - 0.25 * self._random())

    def begin_again(self) -> None:
        """Something has changed, such as the network, so attempts begin quickly again."""
        self._delay = self._first = FIRST_DELAY

    def refused(self) -> None:
        """The other side is there and refuses this one, until somebody changes something.

        That takes a while: the next delay is twice the one before. This also goes for connections
        that were made and then refused.
        """
        self._delay = min(self._delay * REFUSED_GROWTH / GROWTH, self._ceiling)

    def closed_at_once(self) -> None:
        """The other side was there, and closed the connection before it said anything.

        It may be about to end, and back in a moment, or never want this one. So the delays grow
        faster than without an answer, and slower than after a refusal.
        """
        self._delay = min(self._delay * CLOSED_AT_ONCE_GROWTH / GROWTH, self._ceiling)

    def connection_lasted(self, seconds: float) -> None:
        """A connection was closed after ``seconds``, so attempts begin quickly again.

        One that had lasted proves that the other side was well. One that was closed at once
        proves little: each further one in a row makes the first delay grow, so that a peer which
        accepts and closes again and again is not hammered.
        """
        if seconds >= STABLE_AFTER:
            self._first = FIRST_DELAY
        else:
            self._first = min(self._first * GROWTH, self._ceiling)
        self._delay = self._first
