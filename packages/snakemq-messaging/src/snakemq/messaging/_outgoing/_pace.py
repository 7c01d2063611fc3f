"""How many bytes of chunks may be on their way to a peer. Pure.

Enough to keep the line busy, and so few that a message which comes after them hardly waits. What a
line holds is found out as TCP Vegas does it: beyond that, more bytes on their way take longer to
arrive, and bring nothing. On loopback two chunks are enough, on a long line it is what the line
holds and one chunk more. On a slow line a chunk itself takes long, so it is shorter there.
"""

from __future__ import annotations

MIN_CHUNK = 8 * 1024
"""Bytes of the chunks on the slowest lines."""

TOO_LONG = 0.1
"""Seconds that bytes may wait behind others; on slow lines, chunks become shorter."""

MEMORY = 10.0
"""Seconds after which the shortest time is measured anew, because the line may be another one. For
that, half of the window is used for a while: otherwise all chunks would wait for one before them,
and nobody would see how long they take without that."""


class Pace:
    """The window of bytes on their way, and the size of a chunk.

    ``largest``: bytes of a chunk at most.
    """

    __slots__ = (
        "_earlier",
        "_largest",
        "_measured_since",
        "_round_ends",
        "_rounds_left",
        "_shortest",
        "_speeds_up",
        "_usual_window",
        "window",
    )

    def __init__(self, largest: int) -> None:
        self.window = 2 * largest
        """Bytes that may be on their way."""
        self._largest = largest
        self._speeds_up = True
        self._round_ends = 0
        # The shortest time that a chunk took: lately, and before that.
        self._shortest = self._earlier = float("inf")
        self._measured_since = 0.0
        self._rounds_left = 0  # of those with half of the window
        self._usual_window = self.window

    @property
    def chunk(self) -> int:
        """Bytes of the next chunk at most."""
        return min(self._largest, self.window // 2)

    def arrived(self, now: float, took: float, arrived: int, sent: int) -> None:
        """Note that a chunk has arrived ``took`` seconds after it was sent.

        ``arrived``, ``sent``: bytes of all chunks up to it, and up to the last one that was sent.
        """
        shortest = self._note(now, took)
        if arrived < self._round_ends:
            return  # the window has not been used yet since it was changed
        self._round_ends = sent
        if self._rounds_left:
            self._rounds_left -= 1
            if not self._rounds_left:
                self.window = self._usual_window
            return
        if now - self._measured_since > MEMORY:
            self._measured_since = now
            self._earlier, self._shortest = self._shortest, took
            self._usual_window, self.window = self.window, self.window // 2
            self._rounds_left = 2  # what is on its way now was sent behind too much
            return
        waited = took - shortest
        queued = self.window * waited / took if took else 0.0
        if waited > TOO_LONG and queued > self.window / 4:
            self._speeds_up = False
            self.window = max(2 * min(MIN_CHUNK, self._largest), self.window // 2)
        elif queued > 2 * self._largest:
            self._speeds_up = False
            self.window = max(2 * self._largest, self.window - self._largest)
        elif queued < self._largest and waited < TOO_LONG / 2:
            self.window += self.window if self._speeds_up else self._largest

    def _note(self, now: float, took: float) -> float:
        """Return the shortest time that a chunk has taken."""
        self._shortest = min(took, self._shortest)
        return min(self._earlier, self._shortest)
