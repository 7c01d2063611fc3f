"""Peers on a memory network: whole stacks that keep a diary, and one that speaks single frames."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import MAX_PACKET_SIZE, Packeter
from snakemq.queues import MemoryQueuesStorage, QueuesStorageBase

VERSION = bytes.fromhex("00 00000001")
PING = b"\x04"
PONG = b"\x05"


def identification(ident: str) -> bytes:
    return b"\x02" + ident.encode()


def message(data: bytes, uuid: bytes = b"u" * 16, ttl: int = 0xFFFFFFFF, flags: int = 0) -> bytes:
    return struct.pack("!B16sII", 3, uuid, ttl, flags) + data


def features(max_packet_size: int = 0xFFFFFFFF, bits: int = 0, version: int = 1) -> bytes:
    """A 2.x peer without any extension; the epoch and the windows stay 0."""
    return struct.pack("!BHIQIII", 16, version, bits, 0, 0, 0, max_packet_size)


class Peer:
    """A whole stack, and what its callbacks were told, as they were told it."""

    def __init__(
        self,
        network: MemoryNetwork,
        ident: str,
        storage: QueuesStorageBase | None = None,
        *,
        name: str | None = None,
        max_packet_size: int = MAX_PACKET_SIZE,
        **options: Any,
    ) -> None:
        """``options``: further ones of :class:`Messaging`."""
        self.network = network
        self.ident = ident
        self.link = network.link(name or ident)
        self.packeter = Packeter(self.link, max_packet_size=max_packet_size)
        self.messaging = Messaging(ident, "", self.packeter, storage, **options)
        self.connected: list[tuple[str, str]] = []
        self.disconnected: list[tuple[str, str]] = []
        self.received: list[tuple[str, str, Message]] = []
        self.sent: list[tuple[str, str, bytes]] = []
        self.dropped: list[tuple[str, bytes]] = []
        self.errors: list[tuple[str | None, Exception]] = []
        self.messaging.on_connect.add(lambda *args: self.connected.append(args))
        self.messaging.on_disconnect.add(lambda *args: self.disconnected.append(args))
        self.messaging.on_message_recv.add(lambda *args: self.received.append(args))
        self.messaging.on_message_sent.add(lambda *args: self.sent.append(args))
        self.messaging.on_message_drop.add(lambda *args: self.dropped.append(args))
        self.messaging.on_error.add(lambda *args: self.errors.append(args))

    def send(
        self, ident: str, data: bytes = b"", ttl: float | None = None, flags: int = 0
    ) -> bytes:
        return self.messaging.send_message(ident, Message(data, ttl, flags))

    def connect(self, other: Peer | RawPeer) -> tuple[str, str]:
        """Connect, and let both sides introduce themselves. Returns this and the other conn_id."""
        conn_ids = self.network.connect(self.link, other.link)
        self.network.run_until_idle()
        return conn_ids

    @property
    def heard(self) -> list[bytes]:
        """The data of all messages that were received."""
        return [message.data for _, _, message in self.received]

    @property
    def kinds_of_errors(self) -> list[type[Exception]]:
        return [type(exc) for _, exc in self.errors]


class RawPeer:
    """A link that says what it is told to, and notes down what it hears."""

    def __init__(self, network: MemoryNetwork, name: str = "raw") -> None:
        self.network = network
        self.link = network.link(name)
        self.packeter = Packeter(self.link)
        self.stream = b""
        """All bytes that were received."""
        self.frames: list[bytes] = []
        self.conn_id = ""
        self.is_connected = False
        self.link.on_connect.add(self._on_connect)
        self.link.on_disconnect.add(self._on_disconnect)
        self.link.on_recv.add(self._on_recv)
        self.packeter.on_packet_recv.add(lambda _conn_id, packet: self.frames.append(packet))

    def _on_connect(self, conn_id: str) -> None:
        self.conn_id = conn_id
        self.is_connected = True

    def _on_disconnect(self, conn_id: str) -> None:
        self.is_connected = False

    def _on_recv(self, conn_id: str, data: bytes) -> None:
        self.stream += data

    def connect(self, peer: Peer) -> str:
        """Returns the conn_id that the connection has at the peer."""
        _, conn_id = self.network.connect(self.link, peer.link)
        self.network.run_until_idle()
        return conn_id

    def say(self, *frames: bytes) -> None:
        """Send frames, all in one piece if the network does not cut them."""
        for frame in frames:
            self.packeter.send_packet(self.conn_id, frame)
        self.network.run_until_idle()

    def join(self, peer: Peer, ident: str, *more: bytes) -> str:
        """Connect and introduce itself as snakeMQ 1.6 does, followed by more frames."""
        conn_id = self.connect(peer)
        self.say(VERSION, identification(ident), *more)
        return conn_id

    def count(self, frame: bytes) -> int:
        return self.frames.count(frame)

    @property
    def messages(self) -> list[bytes]:
        """The frames of messages that were received."""
        return [frame for frame in self.frames if frame[0] == 3]

    @property
    def heard(self) -> list[bytes]:
        """The data of all messages that were received."""
        return [frame[25:] for frame in self.messages]


def restart(storage: MemoryQueuesStorage) -> MemoryQueuesStorage:
    """What the next process finds in the storage of one that was killed."""
    return MemoryQueuesStorage(storage)


MakePeer = Callable[..., Peer]
MakeRawPeer = Callable[..., RawPeer]
