"""A connection: two ends, and a pipe for each direction."""

from __future__ import annotations

import enum
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from snakemq.link._interface import BytesLike

if TYPE_CHECKING:
    from ._cut import Cut
    from ._memory_link import MemoryLink
    from ._network import MemoryNetwork

Latency: TypeAlias = "float | tuple[float, float]"
"""Seconds, or the bounds between which each piece gets its own. Pieces never overtake."""


class State(enum.Enum):
    NEW = "not announced by on_connect yet"
    OPEN = "announced"
    CLOSED = "gone from the link"


class Pipe:
    """The bytes between a send of one end and the on_recv of the other."""

    __slots__ = (
        "_last_arrival",
        "arrived",
        "capacity",
        "dead",
        "fin",
        "flying",
        "held",
        "latency",
        "lost",
        "network",
        "paused_by",
        "reader",
        "recv_cut",
        "reset_in",
        "send_cut",
        "stalled",
    )

    reader: End

    def __init__(
        self,
        network: MemoryNetwork,
        capacity: int | None,
        latency: Latency,
        send_cut: Cut,
        recv_cut: Cut,
    ) -> None:
        self.network = network
        self.capacity = capacity
        self.latency = latency
        self.send_cut = send_cut
        self.recv_cut = recv_cut
        self.arrived = bytearray()
        self.flying = 0  # bytes that latency keeps in the air
        self.fin = False  # the writer has closed, and everything before that has arrived
        self.dead = False  # whatever is put in disappears
        self.lost = 0  # bytes that nobody will ever acknowledge
        self.paused_by: set[object] = set()  # the reader's reasons
        self.stalled = False  # towards the writer
        self.held = False  # by a partition
        self.reset_in: int | None = None  # bytes until the connection breaks
        self._last_arrival = 0.0

    def room(self, wanted: int) -> int:
        """How many of ``wanted`` bytes can be taken over now."""
        if self.stalled:
            return 0
        if self.capacity is None or self.dead:
            return wanted
        return min(wanted, self.capacity - self.flying - len(self.arrived))

    def unacknowledged(self) -> int:
        """What has arrived is acknowledged, read or not."""
        return self.lost + self.flying + (len(self.arrived) if self.held else 0)

    def put(self, data: bytes) -> None:
        if self.dead:
            self.lost += len(data)
            return
        arrival = self._next_arrival()
        if arrival is None:
            self.arrived += data
            self.reader.wake_input()
        else:
            self.flying += len(data)
            self.network._timers.add(arrival, partial(self._land, data))

    def finish(self) -> None:
        """The writer has closed: the reader learns it after the data."""
        arrival = None if self.dead else self._next_arrival()
        if arrival is None:
            self._land_fin()
        else:
            self.network._timers.add(arrival, self._land_fin)

    def kill(self) -> None:
        """What is in it is lost, and so is everything that will be put in."""
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
        """When something that is put in now arrives; ``None``: now."""
        latency = self.latency
        if isinstance(latency, tuple):
            latency = self.network.random.uniform(*latency)
        now = self.network.clock.time()
        arrival = max(now + latency, self._last_arrival)
        if arrival <= now and not self.flying:
            return None
        self._last_arrival = arrival
        return arrival

    def _land(self, data: bytes) -> None:
        if not self.dead:
            self.flying -= len(data)
            self.arrived += data
            self.reader.wake_input()

    def _land_fin(self) -> None:
        self.fin = True
        self.reader.wake_input()


class End:
    """One side of a connection. Its two steps, input and output, are run by its link's passes."""

    __slots__ = (
        "_input_queued",
        "_output_queued",
        "broken",
        "conn_id",
        "inp",
        "link",
        "out",
        "peer",
        "pending",
        "state",
    )

    peer: End

    def __init__(self, link: MemoryLink, conn_id: str, inp: Pipe, out: Pipe) -> None:
        self.link = link
        self.conn_id = conn_id
        self.inp = inp
        self.out = out
        inp.reader = self
        self.state = State.NEW
        self.broken = False  # reset: on_disconnect comes next, whatever else was to come
        self.pending: BytesLike | None = None
        self._input_queued = False
        self._output_queued = False

    def send(self, data: BytesLike) -> None:
        self.pending = data
        self.wake_output()

    def take_at_once(self, data: BytesLike) -> bool:
        """Take over all of it now, if the network does such things and there is room."""
        pipe, network = self.out, self.out.network
        size = len(data)
        if not network.at_once or self.broken or pipe.room(size) < size:
            return False
        if network.seeded and network.random.random() < 0.5:
            return False
        if pipe.send_cut(network.random, size) < size:
            return False
        pipe.put(bytes(data))
        return True

    def wake_input(self) -> None:
        """Something may have come in; plan the step that looks."""
        if self._input_queued or self.state is State.CLOSED:
            return
        pipe = self.inp
        if (
            self.state is State.NEW
            or self.broken
            or ((pipe.arrived or pipe.fin) and not pipe.paused_by and not pipe.held)
        ):
            self._input_queued = True
            self.link._queue(self._input)

    def wake_output(self) -> None:
        """A send was begun, or there may be room for one; plan the step that looks."""
        if self.pending is not None and not self._output_queued and not self.broken:
            self._output_queued = True
            self.link._queue(self._output)

    def shut(self) -> None:
        """Leave the connection: what was to come is lost, the other side is told in order."""
        self.state = State.CLOSED
        self.pending = None
        self.inp.kill()
        if self.peer.state is not State.CLOSED:
            self.peer.wake_output()
            self.out.finish()

    def reset(self) -> None:
        """Break the connection: both sides are told, and all bytes in flight are lost."""
        for end in (self, self.peer):
            end.broken = True
            end.inp.kill()
            end.wake_input()

    def _input(self) -> None:
        self._input_queued = False
        pipe = self.inp
        if self.state is State.OPEN:
            if self.broken:
                self.link._drop(self)
            elif pipe.paused_by or pipe.held:
                return
            elif pipe.arrived:
                self._deliver(pipe)
            elif pipe.fin:
                self.link._drop(self)
        elif self.state is State.NEW:
            if self.broken:
                self.link._forget(self)  # nobody has heard of it
                return
            self.state = State.OPEN
            self.link._announce(self)
        self.wake_input()

    def _deliver(self, pipe: Pipe) -> None:
        size = len(pipe.arrived)
        if pipe.reset_in is not None:
            size = min(size, pipe.reset_in)
        size = pipe.recv_cut(pipe.network.random, size)
        data = pipe.take(size)
        self.peer.wake_output()
        if pipe.reset_in is not None:
            pipe.reset_in -= size
            if not pipe.reset_in:
                pipe.network._broke(self)
        self.link._received(self, data)

    def _output(self) -> None:
        self._output_queued = False
        data = self.pending
        if data is None or self.broken:
            return
        pipe = self.out
        with memoryview(data) as view:
            room = pipe.room(view.nbytes)
            if room <= 0:
                return  # woken again when there is some
            sent = pipe.send_cut(pipe.network.random, room)
            taken = bytes(view[:sent])
        self.pending = None
        pipe.put(taken)
        self.link._sent(self, sent)
