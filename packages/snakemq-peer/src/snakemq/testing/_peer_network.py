"""The network that users make."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Coroutine
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from snakemq._settings import zero_or_more
from snakemq.peer import Peer

from ._ground import Ground
from ._stack import MemoryStack
from ._switchboard import address_of

if TYPE_CHECKING:
    from snakemq.aio import Peer as AioPeer

T = TypeVar("T")


class PeerNetwork:
    """Peers without sockets, under a clock that moves only when nothing else is left to do.

    ::

        with PeerNetwork() as network:
            alice, bob = network.peer("alice"), network.peer("bob")
            network.connect("alice", "bob")
            receipt = alice.send("bob", b"hello", ttl=60)
            network.advance(61)
            assert receipt.state is ReceiptState.DROPPED

    The peers are what :class:`~snakemq.peer.Peer` makes, with threads for handlers and calls. Only
    the bytes between them, and the time, are those of the network. All time-outs go by its clock,
    also those of calls that wait. While the thread that has made the network waits in one, time
    passes whenever nothing else can happen: so no test waits for a time-out, and a time-out never
    comes too early because a machine is slow. For asyncio there are :meth:`aio_peer` and
    :meth:`run`.

    All methods are thread-safe. None may be called in a callback of a link or a messaging.
    """

    def __init__(self) -> None:
        self._ground = ground = Ground()
        self._peers: list[Peer] = []
        self._finalizer = weakref.finalize(self, _forgotten, ground, self._peers)

    def peer(self, ident: str, **settings: Any) -> Peer:
        """Make a peer. ``settings``: those of :class:`~snakemq.peer.Peer`.

        It can be reached at every address at which it listens, whatever host and port they name,
        but from this network only; and by :meth:`connect`. TLS proves nothing here: both sides must
        want it, and no certificate is looked at. Storages are called in the loop.

        The network closes it, unless somebody has done so before. After that there can be another
        one of this ident, like a process that was started again.

        Raises ``ValueError`` if there is an open peer of this ident, and what
        :class:`~snakemq.peer.Peer` raises.
        """
        peer = MemoryPeer(self._ground, ident, settings)
        self._peers.append(peer)
        return peer

    def aio_peer(self, ident: str, **settings: Any) -> AioPeer:
        """Make a peer for asyncio. ``settings``: those of :class:`snakemq.aio.Peer`.

        Enter it with ``async with``, in a coroutine that :meth:`run` runs. Apart from that it is
        like one that :meth:`peer` makes, and talks to these, too.

        Raises what :class:`~snakemq.aio.Peer` raises. To enter it raises ``ValueError`` if there is
        an open peer of this ident, and ``RuntimeError`` in another event loop.
        """
        from ._aio_peer import MemoryAioPeer  # asyncio is imported for those that need it

        return MemoryAioPeer(self._ground, ident, settings)

    def run(self, main: Coroutine[Any, Any, T], *, debug: bool | None = None) -> T:
        """Run a coroutine, as :func:`asyncio.run` does, but by the clock of the network.

        Time passes when no task, and no thread, can go on. So ``asyncio.sleep(60)`` is what
        :meth:`advance` is elsewhere, and all time-outs of asyncio take no time. What the coroutine
        returns or raises is returned or raised. Raises ``RuntimeError`` if it waits for something
        that never comes.
        """
        from ._event_loop import run

        return run(self._ground.driver, main, debug)

    def connect(self, a: str, b: str) -> None:
        """Keep two peers connected, by their idents: ``a`` dials ``b``.

        They are connected when this returns, unless the network is cut between them or one of them
        refuses the other. Raises ``ValueError`` if ``a`` does that already, and ``KeyError`` if
        there is no such peer.
        """
        dialling, other = self._ground.find(a), self._ground.find(b)
        for link in (dialling, other):
            link.wait_until_open()
        self._ground.driver.call(lambda: dialling.add_connector(address_of(other.name)))

    # -- time

    @property
    def time(self) -> float:
        """How many seconds have passed on the network."""
        return self._ground.network.clock.time()

    def settle(self) -> None:
        """Wait until nothing more happens, without letting time pass.

        All that was sent has arrived then, as far as the network lets it; handlers, loops over
        messages and methods have finished, or wait for something that will not come now.

        Raises ``TimeoutError`` if threads of peers still work after 60 real seconds, and
        ``RuntimeError`` in a coroutine, where ``asyncio.sleep`` does this.
        """
        self._ground.driver.settle(0.0)

    def advance(self, seconds: float) -> None:
        """Let time pass, and do all that happens meanwhile, as :meth:`settle` does.

        Time-outs, ``ttl``, retries and keep-alives come at their time and in their order, and
        threads do what follows from each before the next one. Raises like :meth:`settle`, and
        ``ValueError`` for a negative number.
        """
        zero_or_more("seconds")("seconds", seconds)
        self._ground.driver.settle(seconds)

    # -- faults

    def cut(self, a: str, b: str, *, silently: bool = False) -> None:
        """End all connections between two peers, and let none be made until :meth:`heal`.

        ``silently``: like a cable that is pulled. Nobody notices, and nothing passes, until a
        keep-alive ends the connection.

        Both sides have noticed when this returns, unless it is silent. A peer that is closed and
        made again is still cut off. Raises ``KeyError`` if there is no such peer.
        """
        one, other = self._ground.find(a), self._ground.find(b)
        switchboard = self._ground.switchboard
        self._ground.driver.call(lambda: switchboard.cut(one, other, silently=silently))

    def heal(self, a: str, b: str) -> None:
        """Undo :meth:`cut`. If one of them keeps a connection to the other, it dials at once."""
        self._ground.driver.call(lambda: self._ground.switchboard.heal(a, b))

    # -- the end

    def close(self) -> None:
        """Close all peers at once, whatever their threads are doing, and end the network.

        Idempotent. Raises what closing a peer raises.
        """
        if self._finalizer.detach() is not None:
            _close(self._ground, self._peers)

    def __enter__(self) -> PeerNetwork:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PeerNetwork at {self.time:g} s, {len(self._ground.open_links())} peers>"


class MemoryPeer(Peer):
    """See :meth:`PeerNetwork.peer`."""

    def __init__(self, ground: Ground, ident: str, settings: dict[str, Any]) -> None:
        self._make_stack = partial(MemoryStack, ground)
        super().__init__(ident, **settings)


def _close(ground: Ground, peers: list[Peer]) -> None:
    ground.driver.hurry()
    with ExitStack() as steps:
        steps.callback(ground.driver.end)
        steps.callback(ground.clean_up)
        for peer in peers:
            steps.callback(peer.close)


def _forgotten(ground: Ground, peers: list[Peer]) -> None:
    try:
        warnings.warn(
            "the network was not closed: use 'with PeerNetwork()' or close()",
            ResourceWarning,
            stacklevel=2,
        )
    finally:  # warnings may be errors
        _close(ground, peers)
