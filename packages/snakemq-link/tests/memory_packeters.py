"""Packeters over a memory network that keep a diary: no sockets, no sleeps, one seed is one run."""

from __future__ import annotations

import struct
from collections import defaultdict

from snakemq.link import LinkInterface
from snakemq.link.testing import MemoryNetwork
from snakemq.packeter import Packeter


def framed(*packets: bytes) -> bytes:
    return b"".join(struct.pack("!I", len(packet)) + packet for packet in packets)


class DiaryPacketer(Packeter):
    """Writes down what its callbacks get."""

    def __init__(self, link: LinkInterface, **options: int) -> None:
        super().__init__(link, **options)
        self.connected: list[str] = []
        self.disconnected: list[str] = []
        self.received: defaultdict[str, list[bytes]] = defaultdict(list)
        self.sent: defaultdict[str, list[int]] = defaultdict(list)
        self.errors: list[tuple[str, Exception]] = []
        self.on_connect.add(self.connected.append)
        self.on_disconnect.add(self.disconnected.append)
        self.on_packet_recv.add(lambda conn_id, packet: self.received[conn_id].append(packet))
        self.on_packet_sent.add(lambda conn_id, number: self.sent[conn_id].append(number))
        self.on_error.add(lambda conn_id, exc: self.errors.append((conn_id, exc)))


class Pair:
    """Two packeters, and the ids of the connection between them."""

    def __init__(self, network: MemoryNetwork, **options: int) -> None:
        self.network = network
        self.link_a, self.link_b = network.link("a"), network.link("b")
        self.a, self.b = (
            DiaryPacketer(self.link_a, **options),
            DiaryPacketer(self.link_b, **options),
        )
        self.at_a, self.at_b = self.connect()

    def connect(self) -> tuple[str, str]:
        ids = self.network.connect(self.link_a, self.link_b)
        self.network.run_until_idle()
        return ids

    def run(self) -> None:
        self.network.run_until_idle()
