"""A clock that moves only when it is told to."""

from __future__ import annotations


class FakeClock:
    """Tells monotonic seconds, which stand still until somebody moves them.

    ``FakeClock().time`` can replace a function like :func:`time.monotonic`.
    """

    __slots__ = ("_now",)

    def __init__(self, start: float = 0.0) -> None:
        self._now = float(start)

    def time(self) -> float:
        """Return the present, in seconds since an arbitrary moment."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move forward. Raises ``ValueError`` for a negative number.

        This alone runs nothing: see :meth:`MemoryNetwork.advance`.
        """
        if not seconds >= 0:
            raise ValueError(f"time does not go back: {seconds!r} seconds")
        self._now += seconds

    def advance_to(self, when: float) -> None:
        """Move forward to exactly ``when``. Raises ``ValueError`` when it is in the past."""
        if not when >= self._now:
            raise ValueError(f"time does not go back: from {self._now!r} to {when!r}")
        self._now = when

    def __repr__(self) -> str:
        return f"<FakeClock {self._now!r}>"
