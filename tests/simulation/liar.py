"""Somebody who claims the ident of a peer, and has a connection and nothing else."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from snakemq.packeter import Packeter

from .ledger import Violation

if TYPE_CHECKING:
    from .peer import Peer
    from .world import World

PREFIX = "liar"
_VERSION = struct.pack("!BI", 0, 1)
_FEATURES = struct.pack("!BHIQIII", 16, 1, 1, 7, 1000, 1_000_000, 0xFFFFFFFF)
_MESSAGE = struct.pack("!B16sII", 3, PREFIX.encode().ljust(16), 60, 0) + b"a lie"
_MESSAGE_TYPE = 3


class Liar:
    """Connects to a peer and introduces itself as another one. Whatever the peer has for that one,
    the liar must not get it, and nothing of what it says must come to the application."""

    def __init__(self, world: World, number: int, victim: Peer, claimed: str) -> None:
        random = world.random
        self._claimed = claimed
        self._is_new = random.random() < 0.5
        self._answers = random.random() < 0.5
        self._link = world.network.link(f"{PREFIX}{number}")
        self._packeter = Packeter(self._link)
        self._packeter.on_connect.add(self._on_connect)
        self._packeter.on_packet_recv.add(self._on_packet_recv)
        self._link.call_later(random.choice((0.1, 1.0, 12.0)), self.leave)
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
        if packet == b"\x04" and self._answers:
            self._packeter.send_packet(conn_id, b"\x05")
