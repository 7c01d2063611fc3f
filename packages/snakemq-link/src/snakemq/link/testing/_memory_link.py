"""A link of a memory network."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Protocol

from snakemq.callbacks import Event
from snakemq.link._credentials import PeerCredentials
from snakemq.link._interface import BytesLike, check_send

from ._end import End
from ._machine import Machine, MachineTimer


class Network(Protocol):
    """What a link needs of its network."""

    def join(self, link: MemoryLink, name: str) -> Machine:
        """Add a link, and give it a machine. Raises ``ValueError`` if the name is taken."""


class MemoryLink:
    """A :class:`~snakemq.link.LinkInterface` without sockets and threads.

    Made by :meth:`MemoryNetwork.link`. The thread that runs the network is the loop of all links.
    A subclass that misbehaves joins its network by being constructed.
    """

    on_connect: Event[[str]] = Event()
    on_disconnect: Event[[str]] = Event()
    on_recv: Event[[str, bytes]] = Event()
    on_ready_to_send: Event[[str, int]] = Event()
    on_loop_pass: Event[[]] = Event()

    MachineType: ClassVar[type[Machine]] = Machine

    def __init__(self, network: Network, name: str) -> None:
        self.name = name
        machine = network.join(self, name)
        self.machine: Machine = machine
        """What the link runs on. For the network."""
        self.on_connect = machine.on_connect
        self.on_disconnect = machine.on_disconnect
        self.on_recv = machine.on_recv
        self.on_ready_to_send = machine.on_ready_to_send
        self.on_loop_pass = machine.on_loop_pass
        self.errors: list[Exception] = machine.errors
        """What callbacks and timers have raised, oldest first; it was logged too."""
        self.credentials: PeerCredentials = PeerCredentials()
        """What the other side of each new connection learns about this link. The network fills in
        the addresses, which are names of links."""
        self._borrowed = 0

    @property
    def gone(self) -> bool:
        """Has this link vanished or crashed? Then none of its callbacks is called any more."""
        return self.machine.gone

    # -- LinkInterface

    def send(self, conn_id: str, data: BytesLike) -> None:
        """See :meth:`LinkInterface.send`. Nothing is taken over until the network runs."""
        self._ready_to_send(conn_id, data).send(data)

    def send_at_once(self, conn_id: str, data: BytesLike) -> bool:
        """See :meth:`SendsAtOnce.send_at_once`, and ``at_once`` of the network."""
        end = self._ready_to_send(conn_id, data)
        if end.take_at_once(data):
            self.machine.world.note(self.name, "sent", conn_id, len(data))
            return True
        end.send(data)
        return False

    def _ready_to_send(self, conn_id: str, data: BytesLike) -> End:
        end = self.machine.end(conn_id)
        check_send(conn_id, data, is_sending=end.pending is not None)
        return end

    def close(self, conn_id: str) -> None:
        """See :meth:`LinkInterface.close`. What was taken over already still arrives."""
        self.machine.drop(self.machine.end(conn_id))

    def pause_reading(self, conn_id: str, reason: object = None) -> None:
        """See :meth:`LinkInterface.pause_reading`. In tests it also makes a peer that does not
        read: the other side's sends fill the capacity and then stop.

        The link does not notice the end of the connection either, unless it breaks.
        """
        self.machine.end(conn_id).inp.paused_by.add(reason)

    def resume_reading(self, conn_id: str, reason: object = None) -> None:
        """See :meth:`LinkInterface.resume_reading`."""
        end = self.machine.end(conn_id)
        end.inp.paused_by.discard(reason)
        end.wake_input()

    def is_reading(self, conn_id: str) -> bool:
        """See :meth:`LinkInterface.is_reading`."""
        return not self.machine.end(conn_id).inp.paused_by

    def unsent_bytes(self, conn_id: str) -> int | None:
        """See :meth:`ProgressLink.unsent_bytes`: what latency, or a partition, keeps in the air,
        and what was sent to a link that has vanished."""
        return self.machine.end(conn_id).out.unacknowledged()

    def unanswered_for(self, conn_id: str) -> float | None:
        """See :meth:`ProgressLink.unanswered_for`."""
        pipe = self.machine.end(conn_id).out
        return self.time() - pipe.acknowledged_at if pipe.unacknowledged() else 0.0

    def peer_credentials(self, conn_id: str) -> PeerCredentials:
        """See :meth:`CredentialsLink.peer_credentials`, and :attr:`credentials`."""
        end = self.machine.end(conn_id)
        shown = end.credentials
        return PeerCredentials(
            address=end.peer.owner.name,
            dialled=end.dialled,
            expected_ident=end.expected_ident,
            is_tls=shown.is_tls,
            checked_against=shown.checked_against,
            certificate=shown.certificate,
            certificate_fields=shown.certificate_fields,
            psk_identity=shown.psk_identity,
            psk_key_digest=shown.psk_key_digest,
            unix=shown.unix,
        )

    def wakeup_poll(self) -> None:
        """See :meth:`LinkInterface.wakeup_poll`. Thread-safe."""
        self.machine.wake()

    def call_later(self, delay: float, func: Callable[[], object]) -> MachineTimer:
        """See :meth:`LinkInterface.call_later`. The clock is the network's."""
        return self.machine.call_later(delay, func)

    def time(self) -> float:
        """See :meth:`LinkInterface.time`: the present of the network's clock."""
        return self.machine.world.clock.time()

    def in_loop(self) -> bool:
        """See :meth:`LinkInterface.in_loop`: True if this thread runs a pass of this link."""
        return self.machine.in_loop()

    def run_if_idle(self, func: Callable[[], object]) -> bool:
        """See :meth:`IdleLink.run_if_idle`: there is no loop between two passes."""
        if not self.machine.is_idle:
            return False
        func()
        return True

    def borrow(self) -> bool:
        """See :meth:`LendingLink.borrow`. Only the thread that runs the network can borrow: the
        loop is never asleep."""
        is_loop = self.in_loop()
        self._borrowed += is_loop
        return is_loop

    def give_back(self) -> None:
        """See :meth:`LendingLink.give_back`."""
        if not self._borrowed:
            raise RuntimeError("the loop was not borrowed")
        self._borrowed -= 1

    # -- for tests

    @property
    def connections(self) -> tuple[str, ...]:
        """The ids of the connections that are open, oldest first."""
        return tuple(self.machine.ends)

    def __repr__(self) -> str:
        return f"<MemoryLink {self.name!r}, {len(self.machine.ends)} connections>"
