"""One direction of a connection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from ._cut import Cut
from ._world import World

Latency: TypeAlias = "float | tuple[float, float]"
"""Seconds, or the bounds between which each piece gets its own. Pieces never overtake."""


SLOW_PIECE = 0.05
"""Seconds of what a slow connection delivers at a time."""


class Pipe:
    """The bytes between a send of one end and the on_recv of the other."""

    __slots__ = (
        "_last_arrival",
        "acknowledged_at",
        "arrived",
        "capacity",
        "dead",
        "fin",
        "flying",
        "held",
        "latency",
        "lost",
        "paused_by",
        "recv_cut",
        "relayed",
        "reset_in",
        "send_cut",
        "speed",
        "stalled",
        "wake_reader",
        "world",
    )

    wake_reader: Callable[[], None]
    """Something has come, or changed, for the end that reads."""

    def __init__(
        self,
        world: World,
        capacity: int | None,
        latency: Latency,
        send_cut: Cut,
        recv_cut: Cut,
    ) -> None:
        self.world: World = world
        self.capacity: int | None = capacity
        self.latency: Latency = latency
        self.send_cut: Cut = send_cut
        self.recv_cut: Cut = recv_cut
        self.arrived: bytearray = bytearray()
        self.flying: int = 0  # bytes that latency keeps in the air
        self.fin: bool = False  # the writer has closed, and everything before that has arrived
        self.dead: bool = False  # whatever is put in disappears
        self.lost: int = 0  # bytes that nobody will ever acknowledge
        self.acknowledged_at: float = 0.0  # when something arrived last
        self.paused_by: set[object] = set()  # the reader's reasons
        self.stalled: bool = False  # towards the writer
        self.held: bool = False  # by a partition
        self.reset_in: int | None = None  # bytes until the connection breaks
        self.speed: float | None = None  # bytes per second
        self.relayed: bool = False  # a relay takes everything at once
        self._last_arrival = 0.0

    def room(self, wanted: int) -> int:
        """Return how many of ``wanted`` bytes can be taken over now."""
        if self.stalled:
            return 0
        if self.capacity is None or self.dead:
            return wanted
        return min(wanted, self.capacity - self.flying - len(self.arrived))

    def unacknowledged(self) -> int:
        """Return how many bytes are unacknowledged. What has arrived is not, even if unread."""
        if self.relayed:
            return 0
        return self.lost + self.flying + (len(self.arrived) if self.held else 0)

    def put(self, data: bytes) -> None:
        if self.dead:
            self.lost += len(data)
            return
        if self.speed is not None:
            self._put_slowly(data, self.speed)
            return
        arrival = self._next_arrival()
        if arrival is None:
            self._arrive(data)
        else:
            self.flying += len(data)
            self.world.timers.add(arrival, partial(self._land, data))

    def _put_slowly(self, data: bytes, speed: float) -> None:
        size = max(1, int(speed * SLOW_PIECE))
        for begin in range(0, len(data), size):
            piece = data[begin : begin + size]
            self._next_arrival()  # at the latency
            now = self.world.clock.time()
            self._last_arrival = max(now, self._last_arrival) + len(piece) / speed
            self.flying += len(piece)
            self.world.timers.add(self._last_arrival, partial(self._land, piece))

    def finish(self) -> None:
        """The writer has closed: the reader learns it after the data."""
        arrival = None if self.dead else self._next_arrival()
        if arrival is None:
            self._land_fin()
        else:
            self.world.timers.add(arrival, self._land_fin)

    def kill(self) -> None:
        """Lose what is in it, and everything that will be put in."""
        self.dead = True
        self.lost += self.flying + len(self.arrived)
        self.arrived.clear()
        self.flying = 0

    def take(self, size: int) -> bytes:
        arrived = self.arrived
        if size == len(arrived):
            data = bytes(arrived)
            arrived.clear()
        else:
            data = bytes(arrived[:size])
            del arrived[:size]
        return data

    def _next_arrival(self) -> float | None:
        """Return when something that is put in now arrives; ``None``: now."""
        latency = self.latency
        if isinstance(latency, tuple):
            latency = self.world.random.uniform(*latency)
        now = self.world.clock.time()
        arrival = max(now + latency, self._last_arrival)
        if arrival <= now and not self.flying:
            return None
        self._last_arrival = arrival
        return arrival

    def _land(self, data: bytes) -> None:
        if not self.dead:
            self.flying -= len(data)
            self._arrive(data)

    def _arrive(self, data: bytes) -> None:
        if not self.held:
            self.acknowledged_at = self.world.clock.time()
        self.arrived += data
        self.wake_reader()

    def _land_fin(self) -> None:
        self.fin = True
        self.wake_reader()
