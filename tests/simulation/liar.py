"""Somebody who claims the ident of a peer, and has a connection and no certificate of that peer."""

from __future__ import annotations

import struct
from random import Random
from typing import TYPE_CHECKING

from snakemq.packeter import Packeter

from .certificates import draw_lie
from .ledger import Violation

if TYPE_CHECKING:
    from .peer import Peer
    from .world import World

PREFIX = "liar"
_VERSION = struct.pack("!BI", 0, 1)
_FEATURES = struct.pack("!BHIQIII", 16, 1, 1, 7, 1000, 1_000_000, 0xFFFFFFFF)
_MESSAGE = struct.pack("!B16sII", 3, PREFIX.encode().ljust(16), 60, 0) + b"a lie"
_MESSAGE_TYPE = 3
_REFUSED_TYPE = 19


class Liar:
    """Connects to a peer, or is dialled by it, and introduces itself as another one. Whatever the
    peer has for that one, the liar must not get it, and nothing of what it says must come to the
    application. A peer that has dialled does not even say who it is."""

    def __init__(self, world: World, number: int, victim: Peer, claimed: str) -> None:
        random = world.random
        self._claimed = claimed
        self._is_new = random.random() < 0.5
        self._answers = random.random() < 0.5
        self._link = world.network.link(f"{PREFIX}{number}")
        self._packeter = Packeter(self._link)
        self._packeter.on_connect.add(self._on_connect)
        self._packeter.on_packet_recv.add(self._on_packet_recv)
        # Seeds that are known to other tests must go on meaning the same.
        own_random = Random(f"liar {world.seed} {number}")
        self._link.credentials = draw_lie(own_random, claimed)
        self._is_dialled = world.has_authenticator and own_random.random() < 0.3
        self._link.call_later(random.choice((0.1, 1.0, 12.0)), self.leave)
        if self._is_dialled:
            world.network.connect(victim.process.link, self._link, ident=claimed)
        else:
            world.network.connect(self._link, victim.process.link)

    def leave(self) -> None:
        for conn_id in self._link.connections:
            self._link.close(conn_id)

    def _on_connect(self, conn_id: str) -> None:
        features = [_FEATURES] if self._is_new else []
        identification = b"\x02" + self._claimed.encode()
        for frame in (_VERSION, *features, identification, _MESSAGE):
            self._packeter.send_packet(conn_id, frame)

    def _on_packet_recv(self, conn_id: str, packet: bytes) -> None:
        if packet[0] == _MESSAGE_TYPE:
            raise Violation(f"a liar got a message for {self._claimed}")
        if self._is_dialled and packet[0] != _REFUSED_TYPE:
            raise Violation(f"a liar that was dialled for {self._claimed} learned {packet!r}")
        if packet == b"\x04" and self._answers:
            self._packeter.send_packet(conn_id, b"\x05")
