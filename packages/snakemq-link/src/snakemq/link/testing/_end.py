"""One side of a connection."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

from snakemq.link._credentials import PeerCredentials
from snakemq.link._interface import BytesLike

from ._pipe import Pipe
from ._world import World


class State(enum.Enum):
    NEW = "not announced by on_connect yet"
    OPEN = "announced"
    CLOSED = "gone from the link"


class Owner(Protocol):
    """The machine that an end is on. It runs the steps of the end, which tells it what happens."""

    name: str
    world: World

    def queue(self, step: Callable[[], None]) -> None: ...
    def announce(self, end: End) -> None: ...
    def received(self, end: End, data: bytes) -> None: ...
    def sent(self, end: End, size: int) -> None: ...
    def drop(self, end: End) -> None: ...
    def forget(self, end: End) -> None: ...


class End:
    """One side of a connection. The passes of its link run its two steps, input and output."""

    __slots__ = (
        "_input_queued",
        "_output_queued",
        "broken",
        "conn_id",
        "credentials",
        "dialled",
        "expected_ident",
        "inp",
        "out",
        "owner",
        "peer",
        "pending",
        "state",
    )

    peer: End

    def __init__(
        self, owner: Owner, conn_id: str, inp: Pipe, out: Pipe, credentials: PeerCredentials
    ) -> None:
        self.owner: Owner = owner
        self.conn_id: str = conn_id
        self.inp: Pipe = inp
        self.out: Pipe = out
        self.credentials: PeerCredentials = credentials
        """What this side learns about the peer, except for the addresses."""
        self.dialled: str | None = None
        self.expected_ident: str | None = None
        """The name that this side has dialled; ``None`` if the other side did."""
        inp.wake_reader = self.wake_input
        self.state: State = State.NEW
        self.broken: bool = False  # reset: on_disconnect comes next, whatever else was to come
        self.pending: BytesLike | None = None
        self._input_queued = False
        self._output_queued = False

    def send(self, data: BytesLike) -> None:
        self.pending = data
        self.wake_output()

    def take_at_once(self, data: BytesLike) -> bool:
        """Take over all of the data now, if the network does that and there is room."""
        pipe, world = self.out, self.out.world
        size = len(data)
        if not world.at_once or self.broken or pipe.room(size) < size:
            return False
        if world.seeded and world.random.random() < 0.5:
            return False
        if pipe.send_cut(world.random, size) < size:
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
            self.owner.queue(self._input)

    def wake_output(self) -> None:
        """A send was begun, or there may be room for one; plan the step that looks."""
        if self.pending is not None and not self._output_queued and not self.broken:
            self._output_queued = True
            self.owner.queue(self._output)

    def shut(self) -> None:
        """Leave the connection. What was to come is lost; the other side reads its data first."""
        self.state = State.CLOSED
        self.pending = None
        self.inp.kill()
        if self.peer.state is not State.CLOSED:
            self.peer.wake_output()
            self.out.finish()

    def reset(self) -> None:
        """Break the connection: both sides notice, and all bytes in flight are lost."""
        self.owner.world.fault(self.owner.name, "reset", self.conn_id)
        for end in (self, self.peer):
            end.broken = True
            end.inp.kill()
            end.wake_input()

    def _input(self) -> None:
        self._input_queued = False
        pipe = self.inp
        if self.state is State.OPEN:
            if self.broken:
                self.owner.drop(self)
            elif pipe.paused_by or pipe.held:
                return
            elif pipe.arrived:
                self._deliver(pipe)
            elif pipe.fin:
                self.owner.drop(self)
        elif self.state is State.NEW:
            if self.broken:
                self.owner.forget(self)  # nobody has heard of it
                return
            self.state = State.OPEN
            self.owner.announce(self)
        self.wake_input()

    def _deliver(self, pipe: Pipe) -> None:
        size = len(pipe.arrived)
        if pipe.reset_in is not None:
            size = min(size, pipe.reset_in)
        size = pipe.recv_cut(pipe.world.random, size)
        data = pipe.take(size)
        self.peer.wake_output()
        if pipe.reset_in is not None:
            pipe.reset_in -= size
            if not pipe.reset_in:
                self.reset()
        self.owner.received(self, data)

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
            sent = pipe.send_cut(pipe.world.random, room)
            taken = bytes(view[:sent])
        self.pending = None
        pipe.put(taken)
        self.owner.sent(self, sent)
