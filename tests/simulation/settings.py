"""How a peer and its network are set up, drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from snakemq.link.testing import Latency
from snakemq.messaging import QueueLimits, WhenFull
from snakemq.packeter import MAX_PACKET_SIZE

LARGEST_MESSAGE = 1500
"""Bytes of data. Windows and packet limits are drawn below and above that."""

CUT_FROM = 200
"""In some worlds, messages with more bytes of data than this are sent in chunks."""

CHUNK = 70
"""Bytes of the longest chunk."""


@dataclass(frozen=True)
class PeerSettings:
    is_old: bool
    window_messages: int
    window_bytes: int
    inbox: bool
    manual_ack: bool
    max_attempts: int
    retry_delay: float
    keepalive_interval: float | None
    max_packet_size: int
    queue_limits: QueueLimits | None


@dataclass(frozen=True)
class WorldSettings:
    peers: int
    latency: Latency
    capacity: int
    with_calls: bool
    with_old: bool
    """Does one of the peers speak as snakeMQ 1.6 does?"""
    crossed_dials: bool
    """Does each of two peers dial the other?"""
    steps: int
    fault_rate: float
    in_memory: int | None
    """How many messages of a queue wait in memory before the others are left to the storage.
    ``None``: the storages are not pageable."""


def draw_peer(random: Random, is_old: bool, world: WorldSettings) -> PeerSettings:
    limits = None
    # A 1.6 peer does not know the limit of others, and would be disconnected again and again. A
    # reply holds a traceback, which is as long as the paths of the machine make it.
    small = MAX_PACKET_SIZE if world.with_old or world.with_calls else 800
    if random.random() < 0.2 and not world.with_calls:
        limits = QueueLimits(
            peer_messages=random.choice((2, 5, 20)),
            total_bytes=random.choice((None, 4000)),
            when_full=random.choice((WhenFull.RAISE, WhenFull.DROP_OLDEST)),
        )
    return PeerSettings(
        is_old=is_old,
        window_messages=random.choice((1, 2, 3, 5, 8, 32)),
        window_bytes=random.choice((1, 500, 5000, 1_000_000)),
        inbox=random.random() < 0.5,
        manual_ack=random.random() < 0.35,
        max_attempts=random.choice((1, 2, 3)),
        retry_delay=random.choice((0.01, 0.3, 1.0)),
        keepalive_interval=random.choice((0.7, 2.0)),
        max_packet_size=random.choice((MAX_PACKET_SIZE, small)),
        queue_limits=limits,
    )


def draw_world(random: Random) -> WorldSettings:
    return WorldSettings(
        peers=random.choice((2, 2, 2, 3, 3, 4)),
        latency=random.choice((0.0, 0.0, 0.01, (0.0, 0.005), (0.0, 0.2))),
        capacity=random.choice((100, 2000, 256 * 1024)),
        with_calls=random.random() < 0.25,
        with_old=random.random() < 0.3,
        crossed_dials=random.random() < 0.2,
        steps=random.randint(8, 36),
        fault_rate=random.choice((0.0, 0.1, 0.3, 0.5)),
        in_memory=random.choice((None, 0, 1, 2, 5)),
    )
