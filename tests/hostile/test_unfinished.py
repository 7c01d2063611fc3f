"""Many strangers that send packets which they never finish."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from snakemq.link import Link
from snakemq.packeter import Packeter
from tests.support.running_stack import LOOPBACK, PATIENCE, Diary, LoopThread

from .memory import measured

MEBI = 1024 * 1024
LIMIT = 8 * MEBI
LARGEST = 16 * MEBI
STRANGERS = 8
BLOCKS = STRANGERS * MEBI
"""Room for what the link has read when a stranger is paused, and for all the rest."""


class Victim(Diary):
    def __init__(self) -> None:
        super().__init__()
        self.link = Link()
        self.packeter = Packeter(self.link, max_packet_size=LARGEST, max_unfinished_bytes=LIMIT)
        self.sizes: list[int] = []
        self.pieces: list[int] = []
        self.disconnected: list[str] = []
        self.link.on_recv.add(lambda _, data: self.write(self.pieces, len(data)))
        self.packeter.on_disconnect.add(lambda conn_id: self.write(self.disconnected, conn_id))
        self.packeter.on_packet_recv.add(lambda _, packet: self.write(self.sizes, len(packet)))
        self.loop = LoopThread(self.link)
        self.address = self.loop.call(lambda: self.link.add_listener(LOOPBACK))

    def client(self) -> socket.socket:
        assert isinstance(self.address, tuple)
        return socket.create_connection(self.address, timeout=PATIENCE)


@pytest.fixture
def victim() -> Iterator[Victim]:
    victim = Victim()
    yield victim
    victim.loop.close()


def send(sock: socket.socket, data: bytes) -> None:
    with suppress(OSError):  # it is closed in the end
        sock.sendall(data)


def test_unfinished_packets_hold_the_limit_and_one_more(victim: Victim) -> None:
    clients = [victim.client() for _ in range(STRANGERS)]
    part = struct.pack("!I", LARGEST) + bytes(LARGEST - 1)
    with measured() as peak:
        threads = [threading.Thread(target=send, args=(client, part)) for client in clients]
        for thread in threads:
            thread.start()
        victim.until(lambda: sum(victim.pieces) > LARGEST)
        with victim.client() as honest:  # has to wait, and no more
            honest.sendall(struct.pack("!I", MEBI) + bytes(MEBI))
            honest.sendall(struct.pack("!I", 100) + bytes(100))
            victim.until(lambda: victim.sizes == [MEBI, 100])
    assert peak.size < LIMIT + LARGEST + BLOCKS
    for client in clients:
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
        client.close()
    for thread in threads:
        thread.join(PATIENCE)
    victim.until(lambda: len(victim.disconnected) == STRANGERS + 1)
    assert victim.loop.call(lambda: victim.packeter.unfinished_bytes) == 0
