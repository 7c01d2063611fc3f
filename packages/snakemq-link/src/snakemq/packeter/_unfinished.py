"""A bound on what the unfinished packets of all connections hold together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from itertools import islice
from typing import Protocol

from snakemq.exceptions import NoConnection, SnakeMQTimeout
from snakemq.link import LinkInterface, TimerHandle

MAX_UNFINISHED_BYTES = 256 * 1024 * 1024
"""Bytes that the unfinished packets of all connections may hold together, besides one packet more.
Enough for many large packets at once, and little enough for a small machine."""

UNFINISHED_TIMEOUT = 10.0
"""Seconds for which a connection may waste room that it is given while others wait for it."""

SMALL = 64 * 1024
"""Connections whose unfinished packet has no more bytes than this are left alone."""

TURN = 0.2
"""Seconds after which unused room is given to others. Short, because what an honest peer sends
while it waits is already in the buffers of the system."""

USEFUL = 2 * 1024
"""Bytes that have to come in a turn for the room to be used: 10 KiB a second."""

_SOON = 0.02
"""Seconds until room that has become free is given away. With thousands of connections that takes
some work, so it is not done for each packet that ends."""

_FULL = 0.5
"""The fraction of the limit from which on room is rationed. The other half is there to be given."""

_ENOUGH_ROOM = 0.375
"""The fraction of the limit at which all may go on again. It is the smaller one, or a packet more
or less would stop and start all connections again and again."""


class Limits(Protocol):
    """Bytes of all unfinished packets together, and of the largest packet."""

    max_unfinished_bytes: int
    max_packet_size: int


class _Part:
    """The unfinished packet of one connection, a large one."""

    __slots__ = ("arrived", "brought", "conn_id", "missing", "paused", "skipped", "wasted")

    def __init__(self, conn_id: str, arrived: int, missing: int) -> None:
        self.conn_id = conn_id
        self.arrived = arrived
        """Bytes of it that have arrived."""
        self.missing = missing
        """Bytes until it is complete."""
        self.brought = 0
        """Bytes that came in this turn."""
        self.skipped = 0
        """How many turns in a row were of no use."""
        self.wasted = 0.0
        """Seconds of them for which this connection was read from, so that it is to blame."""
        self.paused = False


class Unfinished:
    """Counts the bytes of unfinished packets, and stops reading from connections if there are many.

    When half of the limit is used, a large packet goes on only if there is room for the rest of
    it. Room is given in the order in which they came, and one packet of any permitted size goes on
    without it. So each can be finished, and honest peers lose nothing but time. A connection that
    brings next to nothing goes to the end of the line after a turn, and is given up when it has
    wasted :data:`UNFINISHED_TIMEOUT` seconds while others waited.

    So together they hold at most the limit, one packet of the largest size, and :data:`SMALL` and
    one block of the link for each connection.
    """

    def __init__(
        self,
        link: LinkInterface,
        limits: Limits,
        give_up: Callable[[str, SnakeMQTimeout], object],
    ) -> None:
        """``give_up(conn_id, exc)``: closes a connection that has kept others waiting."""
        self.size = 0
        """Bytes of all unfinished packets."""
        self._link = link
        self._limits = limits
        self._give_up = give_up
        self._large: dict[str, _Part] = {}  # in the order in which they came
        self._is_full = False
        self._needing_no_room = 1  # how many always go on
        self._room = 0  # for what is missing of others than the one that needs no room
        self._turn: TimerHandle | None = None
        self._deal_soon: TimerHandle | None = None

    def changed(self, conn_id: str, before: int, now: int, missing: int) -> None:
        """The unfinished packet of a connection has ``now`` bytes, or is another one by now."""
        self.size += now - before
        part = self._large.get(conn_id)
        if part is not None and now < before:  # that one was finished
            self._leave(part)
            part = None
        if now > SMALL:
            if part is None:
                part = self._large[conn_id] = _Part(conn_id, now, missing)
                if self._is_full:
                    self._enter(part)
            else:
                self._came(part, now, missing)
        self._look()

    def gone(self, conn_id: str, size: int) -> None:
        """A connection has ended, and what it had brought of a packet is free."""
        self.size -= size
        part = self._large.get(conn_id)
        if part is not None:
            part.paused = False
            self._leave(part)
        self._look()

    def _came(self, part: _Part, now: int, missing: int) -> None:
        part.brought += now - part.arrived
        part.arrived = now
        part.missing = missing
        if part.brought >= USEFUL and self._needing_no_room > 1:
            self._found_one(part)

    def _found_one(self, part: _Part) -> None:
        """One of several that were tried at once has something to send."""
        self._needing_no_room = 1
        for other in self._large.values():
            if other is not part and not other.paused:
                other.skipped += 1
        part.skipped = 0
        self._deal()

    def _enter(self, part: _Part) -> None:
        needed = part.arrived + part.missing
        if needed <= self._room:
            self._room -= needed
        else:
            self._pause(part)
            self._plan_deal()

    def _leave(self, part: _Part) -> None:
        del self._large[part.conn_id]
        self._resume(part)
        if self._is_full:
            self._plan_deal()

    def _look(self) -> None:
        if not self._is_full:
            if self.size > self._limits.max_unfinished_bytes * _FULL:
                self._is_full = True
                self._deal()
                self._turn = self._link.call_later(TURN, self._end_turn)
        elif self.size <= self._limits.max_unfinished_bytes * _ENOUGH_ROOM:
            self._let_all_go_on()

    def _plan_deal(self) -> None:
        if self._deal_soon is None:
            self._deal_soon = self._link.call_later(_SOON, self._deal)

    def _deal(self) -> None:
        """Give away the room that there is."""
        if self._deal_soon is not None:
            self._deal_soon.cancel()
            self._deal_soon = None
        line = sorted(self._large.values(), key=lambda part: (part.brought < USEFUL, part.skipped))
        if not line:
            self._room = self._limits.max_unfinished_bytes - self.size
            return
        limit = self._limits.max_unfinished_bytes
        most = limit + self._limits.max_packet_size - self.size
        # None fits if too many blocks had been read already. Then one goes on until it ends: always
        # the same, which lacks least.
        fitting = (part for part in line if part.missing <= most)
        first = [*islice(fitting, self._needing_no_room)]
        if not first:
            first = [min(line, key=lambda part: part.missing)]
        room = limit - (self.size - first[0].arrived)
        needing_no_room = set(first)
        for part in line:
            if part in needing_no_room:
                self._resume(part)
            elif part.missing <= room:
                room -= part.missing
                self._resume(part)
            else:
                self._pause(part)
        self._room = room

    def _end_turn(self) -> None:
        self._turn = self._link.call_later(TURN, self._end_turn)
        crowded = self._needing_no_room > 1 or any(part.paused for part in self._large.values())
        idle = []
        # If nobody has anything to send, more are tried at once. They need no memory until one has.
        self._needing_no_room = 2 * self._needing_no_room if crowded else 1
        for part in self._large.values():
            if part.brought >= USEFUL or not crowded:
                part.skipped = 0
                part.wasted = 0.0
                self._needing_no_room = 1
            elif not part.paused:
                part.skipped += 1
                idle.append(part)
            part.brought = 0
        for part in idle:
            with contextlib.suppress(NoConnection):
                if self._link.is_reading(part.conn_id):  # else another reason has paused it
                    part.wasted += TURN
        self._deal()
        for part in idle:
            if part.wasted > UNFINISHED_TIMEOUT:
                # The same text each time, because the link logs each reason only once in a while.
                self._give_up(
                    part.conn_id,
                    SnakeMQTimeout(
                        f"less than {USEFUL / TURN:.0f} bytes a second of a large packet came "
                        f"for {UNFINISHED_TIMEOUT:g} s, while others waited for the memory"
                    ),
                )

    def _let_all_go_on(self) -> None:
        self._is_full = False
        self._needing_no_room = 1
        for timer in (self._turn, self._deal_soon):
            if timer is not None:
                timer.cancel()
        self._turn = self._deal_soon = None
        for part in self._large.values():
            part.skipped = 0
            part.wasted = 0.0
            self._resume(part)

    def _pause(self, part: _Part) -> None:
        if not part.paused:
            part.paused = True
            # It may be closed already, with on_disconnect still to reach us.
            with contextlib.suppress(NoConnection):
                self._link.pause_reading(part.conn_id, self)

    def _resume(self, part: _Part) -> None:
        if part.paused:
            part.paused = False
            with contextlib.suppress(NoConnection):
                self._link.resume_reading(part.conn_id, self)
