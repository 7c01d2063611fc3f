"""A peer of no stack at all: it says whatever it likes."""

from __future__ import annotations

import pickle
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress

from snakemq.link import Address
from tests.support.running_stack import PATIENCE

VERSION = b"\x00\x00\x00\x00\x01"
INCOMPATIBLE = b"\x01"
PING, PONG = b"\x04", b"\x05"


def identification(ident: str) -> bytes:
    return b"\x02" + ident.encode()


def message(data: bytes, *, uuid: bytes = bytes(16), ttl: int = 60, flags: int = 0) -> bytes:
    return struct.pack("!B16sII", 3, uuid, ttl, flags) + data


def with_headers(headers: bytes, data: bytes = b"") -> bytes:
    """A message with any bytes in the place of the headers."""
    frame = b"\x12" + message(b"")[1:] + struct.pack("!H", len(headers))
    return frame + headers + data


def features(
    *,
    bits: int = 1,
    window_messages: int = 1000,
    window_bytes: int = 1 << 20,
    max_packet_size: int = 1 << 30,
    epoch: int = 7,
) -> bytes:
    return struct.pack(
        "!BHIQIII", 16, 1, bits, epoch, window_messages, window_bytes, max_packet_size
    )


def ack(count: int) -> bytes:
    return struct.pack("!BQ", 17, count)


def packet(frame: bytes) -> bytes:
    return struct.pack("!I", len(frame)) + frame


def packets(*frames: bytes) -> bytes:
    return b"".join(map(packet, frames))


def split_packets(data: bytes) -> Iterator[bytes]:
    """The payloads of the packets that are complete."""
    while len(data) >= 4 and len(data) >= 4 + (size := struct.unpack("!I", data[:4])[0]):
        yield data[4 : 4 + size]
        data = data[4 + size :]


def rpc_request(**parts: object) -> bytes:
    """The data of a call of ``service.echo()``, unless ``parts`` say otherwise."""
    request: dict[str, object] = {
        "command": "call",
        "object": "service",
        "method": "echo",
        "args": (),
        "kwargs": {},
        "req_id": b"0123456789abcdef",
    }
    return b"rpcreq" + pickle.dumps({**request, **parts}, 4)


class Stranger:
    """A connection that is only a socket."""

    def __init__(self, address: Address) -> None:
        assert isinstance(address, tuple)
        self.socket = socket.create_connection(address, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._unread = b""

    def send(self, data: bytes) -> None:
        """Send this, whether or not anybody still listens."""
        with suppress(ConnectionError):
            self.socket.sendall(data)

    def say(self, *frames: bytes) -> None:
        self.send(packets(*frames))

    def introduce(self, ident: str = "stranger", *, features: bytes | None = None) -> None:
        """Introduce itself as a 1.6 peer does; with ``features``, as one of ours does."""
        self.say(VERSION, *([features] if features else []), identification(ident))

    def hear(self) -> bytes | None:
        """The next packet; ``None`` at the end of the connection."""
        while not (heard := next(split_packets(self._unread), None)) and heard != b"":
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionError:
                return None
            if not data:
                return None
            self._unread += data
        self._unread = self._unread[4 + len(heard) :]
        return heard

    def hear_until(self, kind: int) -> bytes:
        """The next frame of this type."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            frame = self.hear()
            assert frame is not None, "the connection was closed"
            if frame[:1] == bytes([kind]):
                return frame
        raise AssertionError(f"no frame of type {kind}")

    def hear_to_the_end(self) -> list[bytes]:
        """All packets until the connection is closed."""
        return list(iter(self.hear, None))

    def assert_welcome(self) -> None:
        """Check that a ping is answered: all that came before was handled, and none of it held
        against the stranger."""
        self.say(PING)
        self.hear_until(5)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()
