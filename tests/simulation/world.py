"""A run: peers, a network, and what happens to them. Everything is drawn from one seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import NamedTuple

from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message

from .application import Mood
from .calls import Call
from .ledger import Ledger
from .liar import PREFIX
from .peer import Peer
from .settings import LARGEST_MESSAGE, draw_peer, draw_world
from .storage_thread import Killed

NOBODY = "nobody"
"""An ident that no peer has: what is sent to it waits until its time is over."""

MAX_DEPTH = 200
"""Messages that applications send from their callbacks in one run: an end to ping-pong."""


class Happening(NamedTuple):
    """A line of the diary of a run."""

    time: float
    who: str
    what: str
    detail: str

    def __str__(self) -> str:
        return f"{self.time:10.4f}  {self.who:8} {self.what} {self.detail}"


class World:
    """Everything there is in one run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.settings = settings = draw_world(self.random)
        # Not drawn: seeds that are known to other tests must go on meaning the same.
        self.cuts = seed % 4 in (0, 3)
        """Are messages of a few hundred bytes large?"""
        self.network = MemoryNetwork(
            seed,
            latency=settings.latency,
            capacity=settings.capacity,
            step_limit=50_000,
            at_once=True,  # as the real link
        )
        self.peers: dict[str, Peer] = {}
        self.ledger = Ledger(self.peers)
        self.calls: dict[int, Call] = {}
        self.faults: Counter[str] = Counter()
        """What went wrong, by kind."""
        self.liars = 0
        """How many there were."""
        # Seeds that are known to other tests must go on meaning the same.
        self.has_authenticator = seed % 4 != 3
        """Do the peers have an authenticator? The others check certificates in on_connect."""
        self.diary: list[Happening] = []
        self.is_calm = False
        """Are the faults over?"""
        self._message_count = 0
        self._sent_in_callbacks = 0
        self._make_peers()

    def _make_peers(self) -> None:
        random, settings = self.random, self.settings
        for number in range(settings.peers):
            ident = f"peer{number}"
            peer_settings = draw_peer(random, settings.with_old and number == 0, settings)
            self.peers[ident] = Peer(self, ident, peer_settings)
        peers = list(self.peers.values())
        for number, peer in enumerate(peers):
            for other in peers[number + 1 :]:
                dialler, dialled = random.sample((peer, other), 2)
                dialler.dials.append(dialled.ident)
                if settings.crossed_dials:
                    dialled.dials.append(dialler.ident)
        for peer in peers:
            peer.start()

    # -- what everybody asks for

    @property
    def now(self) -> float:
        return self.network.clock.time()

    @property
    def living(self) -> list[Peer]:
        return [peer for peer in self.peers.values() if peer.is_alive]

    def note(self, who: str, what: str, detail: str = "") -> None:
        self.diary.append(Happening(self.now, who, what, detail))

    def happened(self, fault: str, who: str, detail: str = "") -> None:
        """Note that something went wrong as it was meant to."""
        self.faults[fault] += 1
        self.note(who, fault, detail)

    def is_of_liar(self, conn_id: str) -> bool:
        """Is it a connection of a liar? A certificate would tell."""
        return self.network.other_side(conn_id).startswith(PREFIX)

    def is_of_ledger(self, uuid: bytes) -> bool:
        """Is it in the ledger, and so not a message of a remote call?"""
        return uuid in self.ledger.entries

    def draw_mood(self) -> Mood:
        if self.is_calm or self.random.random() < 0.4:
            mood = Mood.calm()
            if not self.is_calm:
                mood.ack_at_once = self.random.choice((0.0, 0.5, 1.0))
            return mood
        mood = Mood()
        draw = self.random.choice
        mood.raise_when_offered = draw((0.0, 0.0, 0.1, 0.5, 1.0))
        mood.refuse = draw((0.0, 0.0, 0.0, 0.1))
        mood.raise_elsewhere = draw((0.0, 0.0, 0.1))
        mood.close = draw((0.0, 0.0, 0.02, 0.1))
        mood.distrust = draw((0.0, 0.0, 0.0, 0.3))
        mood.answer = draw((0.0, 0.0, 0.1, 0.3))
        mood.ack_at_once = draw((0.0, 0.5, 1.0))
        return mood

    def guarded(self, func: Callable[[], object]) -> None:
        """Do something in which a process may be killed."""
        with suppress(Killed):
            func()

    # -- sending

    def send_something(self, peer: Peer, ident: str | None = None) -> None:
        """Send something from a callback, but not without end."""
        if self._sent_in_callbacks < MAX_DEPTH and not self.is_calm:
            self._sent_in_callbacks += 1
            self.send(peer, ident)

    def send(self, peer: Peer, ident: str | None = None) -> None:
        random = self.random
        if ident is None:
            others = [other for other in self.peers if other != peer.ident]
            ident = NOBODY if random.random() < 0.03 else random.choice(others)
        ttl = random.choice((None, None, None, 0, 0, 0.5, 1, 3, 1000))
        if ident == NOBODY and (ttl is None or ttl > 3):
            ttl = 3
        size = random.choice((0, 1, 10, 10, 10, 100, 600, LARGEST_MESSAGE))
        flags = FLAG_PERSISTENT if random.random() < 0.5 else 0
        self._message_count += 1
        number = self._message_count
        data = bytes([number % 256]) * size
        message = Message(data, ttl, flags, number.to_bytes(16, "big"))
        self.note(peer.ident, "sends", f"{number} to {ident}, ttl {ttl}, flags {flags}, {size} B")
        peer.process.application.send(ident, message)

    def call(self, peer: Peer) -> None:
        caller = peer.process.caller
        if caller is not None:
            others = [other for other in self.peers.values() if other is not peer]
            caller.call(self.random.choice(others), self.random.choice((None, None, 0.5, 5.0)))
