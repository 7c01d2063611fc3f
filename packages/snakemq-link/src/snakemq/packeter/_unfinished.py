"""A bound on what the unfinished packets of all connections hold together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from snakemq.exceptions import NoConnection, SnakeMQTimeout
from snakemq.link import LinkInterface, TimerHandle

MAX_UNFINISHED_BYTES = 256 * 1024 * 1024
"""What the unfinished packets of all connections may hold together, and one packet more, in bytes.
Enough for many large packets at once, and little enough for a small machine."""

UNFINISHED_TIMEOUT = 10.0
"""Seconds for which a connection may waste the turns that it is given while others wait."""

SMALL = 64 * 1024
"""Connections whose unfinished packet has no more bytes than this are left alone."""

TURN = 1.0
"""Seconds after which a turn that was of no use goes to the next one."""

USEFUL = 8 * 1024
"""Bytes that make a turn useful. Whoever has it has the line for itself: even a modem brings them
in a second."""

_FULL = 0.5
"""The part of the limit from which on they take turns. The rest is for those who come after one
that has brought most of a packet and then fell silent."""

_ENOUGH_ROOM = 0.375
"""The part of the limit at which all may go on again. Less than before, or a packet more or less
would stop and start everybody again and again."""


class _Part:
    """The unfinished packet of one connection, a large one."""

    __slots__ = ("brought", "conn_id", "missing", "paused", "skipped", "wasted")

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id
        self.missing = 0
        """Bytes until it is complete."""
        self.brought = 0
        """Bytes that came in this turn."""
        self.skipped = 0
        """How many turns in a row were of no use."""
        self.wasted = 0.0
        """Seconds of them for which this connection was read from, so that it is to blame."""
        self.paused = False

    def place(self) -> tuple[int, int]:
        """In the line. Whoever is nearest to its end sets memory free first."""
        return self.skipped, self.missing


class Unfinished:
    """Counts the bytes of unfinished packets, and stops reading from connections if there are many.

    Beyond half of the limit one large packet goes on and all others wait: so that one of any
    permitted size can always be finished, and honest peers lose time and nothing else. It is the
    turn     of the one that is nearest to its end. If it brings next to nothing the turn goes to
    the next one whose     missing bytes fit, together with all that is there, into the limit and
    one packet of the     largest size. A connection that has wasted :data:`UNFINISHED_TIMEOUT`
    seconds of its turns is     given up.

    So all of them hold the limit, one packet, and for each connection :data:`SMALL` and one block
    of the link at most.
    """

    def __init__(
        self,
        link: LinkInterface,
        limit: int,
        largest: int,
        give_up: Callable[[str, SnakeMQTimeout], object],
    ) -> None:
        """``largest``: the size of the largest packet."""
        self.limit = limit
        self.largest = largest
        self.size = 0
        """Bytes of all unfinished packets."""
        self._link = link
        self._give_up = give_up
        self._large: dict[str, _Part] = {}
        self._turn: _Part | None = None  # while it is full and somebody is there
        self._is_full = False
        self._timer: TimerHandle | None = None

    def changed(self, conn_id: str, before: int, now: int, missing: int) -> None:
        """The unfinished packet of a connection has ``now`` bytes, or is another one by now."""
        self.size += now - before
        part = self._large.get(conn_id)
        if part is not None and now < before:  # that one was finished
            self._leave(part)
            part = None
        if now > SMALL:
            if part is None:
                part = self._large[conn_id] = _Part(conn_id)
            part.missing = missing
            part.brought += max(0, now - before)
        self._look(part)

    def gone(self, conn_id: str, size: int) -> None:
        """A connection has ended, and what it had brought of a packet is free."""
        self.size -= size
        part = self._large.get(conn_id)
        if part is not None:
            part.paused = False
            self._leave(part)
        self._look(None)

    def _leave(self, part: _Part) -> None:
        del self._large[part.conn_id]
        self._resume(part)
        if part is self._turn:
            self._turn = None

    def _look(self, part: _Part | None) -> None:
        """``part``: the one that has changed."""
        if self.size > self.limit * _FULL:
            self._is_full = True
        elif self._is_full and self.size <= self.limit * _ENOUGH_ROOM:
            self._let_all_go_on()
        if not self._is_full:
            return
        if self._timer is None:
            for other in self._large.values():
                self._pause(other)
            self._timer = self._link.call_later(TURN, self._end_turn)
        elif part is not None and part is not self._turn:
            self._pause(part)
            if self._turn is not None and part.place() < self._turn.place():
                self._pause(self._turn)
                self._next_turn()
        if self._turn is None:
            self._next_turn()

    def _next_turn(self) -> None:
        room = self.limit + self.largest - self.size
        fitting = [part for part in self._large.values() if part.missing <= room]
        if fitting:
            self._turn = min(fitting, key=_Part.place)
        else:
            # Blocks that had been read already. Always the same one, until it ends or is given up.
            self._turn = min(self._large.values(), key=lambda part: part.missing, default=None)
        if self._turn is not None:
            self._turn.brought = 0
            self._resume(self._turn)

    def _end_turn(self) -> None:
        self._timer = self._link.call_later(TURN, self._end_turn)
        part = self._turn
        if part is None:
            return
        if part.brought >= USEFUL or len(self._large) == 1:
            part.skipped = 0
            part.wasted = 0.0
            part.brought = 0
            return
        part.skipped += 1
        with contextlib.suppress(NoConnection):
            if self._link.is_reading(part.conn_id):  # else somebody else has paused it
                part.wasted += TURN
        self._pause(part)
        self._next_turn()
        if part.wasted >= UNFINISHED_TIMEOUT:
            self._give_up(
                part.conn_id,
                SnakeMQTimeout(
                    f"less than {USEFUL} bytes of a large packet came in each of {part.skipped} "
                    f"seconds, while {len(self._large) - 1} others waited for the memory"
                ),
            )

    def _let_all_go_on(self) -> None:
        self._is_full = False
        self._turn = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for part in self._large.values():
            part.skipped = 0
            part.wasted = 0.0
            self._resume(part)

    def _pause(self, part: _Part) -> None:
        if not part.paused:
            part.paused = True
            # One that is being closed has no news for us yet.
            with contextlib.suppress(NoConnection):
                self._link.pause_reading(part.conn_id, self)

    def _resume(self, part: _Part) -> None:
        if part.paused:
            part.paused = False
            with contextlib.suppress(NoConnection):
                self._link.resume_reading(part.conn_id, self)
