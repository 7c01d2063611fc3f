"""A peer and its lives: what stays when its process is killed, and what does not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

from snakemq.link.testing import MemoryConnector
from snakemq.messaging import Messaging, WhenFull
from snakemq.packeter import MAX_PACKET_SIZE, Packeter

from .application import Application
from .arrivals import Arrivals
from .calls import Caller
from .certificates import AUTHENTICATOR, certificate_of
from .dead_letters import are_kept_by
from .ledger import Entry
from .old_wire import OldPacketer
from .settings import CHUNK, CUT_FROM, PeerSettings
from .storage import WatchedStorage
from .storage_thread import Killed, SimulatedThread

if TYPE_CHECKING:
    from .world import World

REDIAL = (0.01, 1.0)

MESSAGE_HEADER = 25
"""Bytes of a packet that are not data."""


class SimulatedMessaging(Messaging):
    """Calls its storages in a simulated thread."""

    def __init__(self, thread: SimulatedThread, *args: Any, **options: Any) -> None:
        self._runner_of = lambda storage: thread
        super().__init__(*args, **options)


class Process:
    """One life of a peer."""

    def __init__(self, peer: Peer, storage: WatchedStorage) -> None:
        settings, network = peer.settings, peer.world.network
        self.link = network.link(peer.ident)
        self.link.credentials = certificate_of(peer.ident)
        self.storage = storage
        packeter_class = OldPacketer if settings.is_old else Packeter
        packeter = packeter_class(self.link, max_packet_size=settings.max_packet_size)
        arrivals = Arrivals(peer, packeter)
        self.storage_thread = SimulatedThread(peer, self.link)
        self.messaging = SimulatedMessaging(
            self.storage_thread,
            peer.ident,
            "",
            packeter,
            storage,
            inbox=storage if settings.inbox else None,
            dead_letters=storage if are_kept_by(peer) else None,
            authenticator=AUTHENTICATOR if peer.world.has_authenticator else None,
            manual_ack=settings.manual_ack,
            window_messages=settings.window_messages,
            window_bytes=settings.window_bytes,
            max_attempts=settings.max_attempts,
            retry_delay=settings.retry_delay,
            prefetch=draw_prefetch(peer),
            queue_limits=settings.queue_limits,
        )
        if peer.world.cuts:
            chunks = self.messaging._wings.outgoing.chunks
            chunks.cut_from, chunks.max_chunk = CUT_FROM, CHUNK
            self.messaging._wings.outgoing._express_lane.max_size = CUT_FROM
            arrivals.join(self.messaging)
        self.messaging.keepalive_interval = settings.keepalive_interval
        self.connected: dict[str, str] = {}
        """Connections that were reported, by ident."""
        self.disconnections: Counter[str] = Counter()
        self.application = Application(peer, self.messaging)
        self.caller = Caller(peer, self.messaging) if peer.world.settings.with_calls else None
        self.connectors: list[MemoryConnector] = []

    def dial(self, peer: Peer) -> None:
        for ident in peer.dials:
            connector = peer.world.network.keep_connected(
                self.link, ident, REDIAL, ident=ident if peer.world.has_authenticator else None
            )
            self.connectors.append(connector)


def draw_prefetch(peer: Peer) -> int | None:
    # Not from the random numbers of the world: seeds that are known to others must mean the same.
    if not peer.settings.manual_ack:
        return None
    return Random(f"prefetch {peer.world.seed} {peer.ident}").choice((None, None, 1, 2, 5))


class Peer:
    """The owner of an ident, whatever process it runs in."""

    def __init__(self, world: World, ident: str, settings: PeerSettings) -> None:
        self.world = world
        self.ident = ident
        self.settings = settings
        self.smallest_limit = settings.max_packet_size
        """The smallest packets that were ever too large for it are those beyond this size."""
        self.life = 0
        self.dials: list[str] = []
        """Idents that it keeps connected with."""
        self.crash_point: str | None = None
        """Where it is to be killed."""
        self.crash_countdown = 0
        self.is_alive = False
        self.process: Process
        self._storage: WatchedStorage | None = None

    def start(self) -> None:
        """Begin the next life."""
        self.life += 1
        self.is_alive = True
        self._storage = WatchedStorage(self, self._storage)
        self.process = Process(self, self._storage)
        self.world.ledger.began(self)
        self.process.dial(self)

    def kill(self, how: str) -> None:
        """End the process. ``crash``: its system closes the connections. ``vanish``: they stay."""
        self.world.happened(how, self.ident)
        network = self.world.network
        (network.crash if how == "crash" else network.vanish)(self.process.link)
        self._end()

    def shut_down(self) -> None:
        """End the process in order."""
        self.world.happened("shutdown", self.ident)
        for connector in self.process.connectors:
            connector.close()
        while connections := self.process.link.connections:
            self.process.link.close(connections[0])  # whose callbacks may close others
        storage = self.process.storage
        # Not 0: that it was broken in this life is not forgotten.
        storage.broken_until = min(storage.broken_until, self.world.now)
        self.process.storage_thread.calm_down()
        self.process.messaging.close()
        self.process.application.poster.check_stored()
        self.world.network.crash(self.process.link)
        self._end()

    def _end(self) -> None:
        self.is_alive = False
        self.crash_point = None
        self.process.storage.close()
        self.world.ledger.ended(self)

    def reach(self, point: str) -> None:
        """Note that the process is at a point at which it can be killed."""
        if self.crash_point == point:
            self.crash_countdown -= 1
            if self.crash_countdown <= 0:
                self.world.happened(f"kill {point}", self.ident)
                self.kill(self.world.random.choice(("crash", "vanish")))
                raise Killed

    @property
    def works_on_too_much(self) -> bool:
        """Has a sender come back again and again, while the application has not processed what it
        had sent before?"""
        receiver = self.process.messaging._wings.incoming
        window = self.settings.window_messages
        return any(
            inbox.open_messages >= 2 * window or inbox.open_bytes >= 2 * self.settings.window_bytes
            for inbox in receiver.inboxes.by_ident.values()
        )

    @property
    def storage_was_broken(self) -> bool:
        """Was the storage broken at any time in this life?"""
        return self.process.storage.broken_until > 0.0

    def acks_with(self, ident: str) -> bool:
        """Do this peer and that one acknowledge?"""
        other = self.world.peers.get(ident)
        return not self.settings.is_old and other is not None and not other.settings.is_old

    def may_be_overtaken(self, entry: Entry) -> bool:
        """May others overtake it, because it is sent in chunks?"""
        return self.world.cuts and self.acks_with(entry.receiver) and len(entry.data) > CUT_FROM

    def may_drop_at_any_time(self, entry: Entry) -> bool:
        """May it be dropped because its queue was full, or as it is too large and has ttl 0?"""
        limits = self.settings.queue_limits
        if limits is not None and limits.when_full is WhenFull.DROP_OLDEST:
            return True
        return entry.ttl == 0 and self.may_have_been_too_large(entry)

    def may_have_been_too_large(self, entry: Entry) -> bool:
        """May it have been set aside, and so come later than those behind it?"""
        receiver = self.world.peers.get(entry.receiver)
        return receiver is not None and len(entry.data) + MESSAGE_HEADER > receiver.smallest_limit

    def takes_all_sizes(self) -> None:
        """Start it again with a limit that takes what was too large."""
        self.settings = replace(self.settings, max_packet_size=MAX_PACKET_SIZE)
        self.kill("crash")
        self.start()

    def __repr__(self) -> str:
        return f"<Peer {self.ident}, life {self.life}, {self.settings}>"
