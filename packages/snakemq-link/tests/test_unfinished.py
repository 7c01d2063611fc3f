"""Unfinished packets of many connections: what they hold together, and who has to wait."""

from __future__ import annotations

import struct
from random import Random

import pytest
from memory_packeters import DiaryPacketer

from snakemq.exceptions import SnakeMQTimeout
from snakemq.link.testing import MemoryLink, MemoryNetwork
from snakemq.packeter import UNFINISHED_TIMEOUT

KIBI = 1024
FULL = 1000 * KIBI
"""From here on only those go on for whom there is room."""
LIMIT = 2 * FULL
BLOCK = 256 * KIBI
"""The most that one call of on_recv brings here: the capacity of the network."""


class Crowd:
    """A packeter, and peers that send it packets or parts of packets."""

    def __init__(
        self, network: MemoryNetwork, link: MemoryLink | None = None, **options: int
    ) -> None:
        self.network = network
        self.link = link or network.link("receiver")
        self.packeter = DiaryPacketer(self.link, max_unfinished_bytes=LIMIT, **options)
        self.peak = 0
        self.link.on_recv.add(self._measure)

    def _measure(self, conn_id: str, data: bytes) -> None:
        self.peak = max(self.peak, self.packeter.unfinished_bytes)

    def peer(self) -> Peer:
        return Peer(self)


class Peer:
    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd
        self.network = crowd.network
        self.link = self.network.link(f"peer {len(self.network.links)}")
        self.packeter = DiaryPacketer(self.link)
        self.here, self.there = self.network.connect(self.link, crowd.link)
        self.network.run_until_idle()

    @property
    def is_connected(self) -> bool:
        return self.there in self.crowd.link.connections

    @property
    def is_read(self) -> bool:
        return self.crowd.link.is_reading(self.there)

    @property
    def arrived(self) -> list[bytes]:
        return self.crowd.packeter.received[self.there]

    def begin(self, size: int, part: int) -> None:
        """Send a part of a packet."""
        self.push(struct.pack("!I", size) + bytes(part))

    def push(self, data: bytes) -> None:
        self.packeter.send_framed(self.here, [data], [len(data)])
        self.network.run_until_idle()


@pytest.fixture
def crowd(network: MemoryNetwork) -> Crowd:
    return Crowd(network)


def fill(crowd: Crowd, count: int = 5) -> list[Peer]:
    """Make peers that each send 300 KiB of 10 MiB, and then nothing."""
    peers = [crowd.peer() for _ in range(count)]
    for peer in peers:
        peer.begin(10 * KIBI * KIBI, 300 * KIBI)
    return peers


def test_the_sum_of_unfinished_packets_is_known(crowd: Crowd) -> None:
    first, second = crowd.peer(), crowd.peer()
    first.begin(100, 60)
    second.begin(100 * KIBI, 70 * KIBI)
    assert crowd.packeter.unfinished_bytes == 60 + 70 * KIBI
    first.push(bytes(40))
    assert crowd.packeter.unfinished_bytes == 70 * KIBI
    second.link.close(second.here)
    crowd.network.run_until_idle()
    assert crowd.packeter.unfinished_bytes == 0
    assert first.arrived == [bytes(100)]


def test_within_half_of_the_limit_all_connections_are_read(crowd: Crowd) -> None:
    assert all(peer.is_read for peer in fill(crowd, 3))


def test_beyond_half_of_the_limit_one_large_packet_goes_on(crowd: Crowd) -> None:
    peers = fill(crowd)
    assert [peer.is_read for peer in peers].count(True) == 1
    for peer in peers:
        peer.push(bytes(5 * KIBI * KIBI))
    assert crowd.packeter.unfinished_bytes < LIMIT + 10 * KIBI * KIBI
    assert crowd.peak < LIMIT + 10 * KIBI * KIBI + len(peers) * BLOCK


def test_peers_that_fall_silent_one_after_another_do_not_add_up(network: MemoryNetwork) -> None:
    crowd = Crowd(network, max_packet_size=10 * KIBI * KIBI)
    peers = fill(crowd, 8)
    for peer in peers:
        peer.push(bytes(6 * KIBI * KIBI))
    for _ in range(10 * int(UNFINISHED_TIMEOUT)):
        network.advance(1)
        assert crowd.peak < LIMIT + 10 * KIBI * KIBI + len(peers) * BLOCK
    assert crowd.packeter.errors


def test_a_large_packet_that_fits_goes_on_while_another_is_silent(network: MemoryNetwork) -> None:
    crowd = Crowd(network, max_packet_size=10 * KIBI * KIBI)
    for peer in fill(crowd, 2):
        peer.push(bytes(6 * KIBI * KIBI))
    honest = crowd.peer()
    honest.packeter.send_packet(honest.here, bytes(2 * KIBI * KIBI))
    network.run_until(lambda: bool(honest.arrived), timeout=UNFINISHED_TIMEOUT / 2)


def test_one_packet_may_be_larger_than_the_limit(crowd: Crowd) -> None:
    peer = crowd.peer()
    peer.packeter.send_packet(peer.here, bytes(5 * LIMIT))
    crowd.network.run_until_idle()
    assert peer.arrived == [bytes(5 * LIMIT)]
    assert crowd.packeter.unfinished_bytes == 0


def test_small_packets_are_served_while_large_ones_wait(crowd: Crowd) -> None:
    fill(crowd)
    newcomer = crowd.peer()
    newcomer.push(struct.pack("!I", 3) + b"abc" + struct.pack("!I", 60 * KIBI) + bytes(50 * KIBI))
    assert newcomer.is_read
    newcomer.push(bytes(10 * KIBI))
    assert newcomer.arrived == [b"abc", bytes(60 * KIBI)]


def test_a_silent_peer_gives_way_to_one_that_has_something_to_send(crowd: Crowd) -> None:
    silent = fill(crowd)
    honest = crowd.peer()
    honest.packeter.send_packet(honest.here, bytes(20 * KIBI * KIBI))
    crowd.network.run_until(lambda: bool(honest.arrived), timeout=2 * len(silent) + 1)
    assert all(peer.is_connected for peer in silent)


def test_a_peer_that_wastes_room_while_others_wait_is_closed(crowd: Crowd) -> None:
    peers = fill(crowd, 5)
    crowd.network.advance(5 * UNFINISHED_TIMEOUT + 1)
    left = [peer for peer in peers if peer.is_connected]
    assert len(left) == 2  # with those there is room enough
    assert all(peer.is_read for peer in left)
    for conn_id, error in crowd.packeter.errors:
        assert conn_id not in {peer.there for peer in left}
        assert isinstance(error, SnakeMQTimeout)
        assert "others waited" in str(error)
    assert len(crowd.packeter.errors) == 3


def test_a_link_that_counts_failures_gets_one_reason_for_all(
    network: MemoryNetwork, caplog: pytest.LogCaptureFixture
) -> None:
    reasons: dict[str, str] = {}
    link = network.link("receiver")
    link.report_failure = lambda conn_id, error: reasons.update({conn_id: str(error)})  # type: ignore[attr-defined]
    crowd = Crowd(network, link)
    fill(crowd, 5)
    crowd.network.advance(5 * UNFINISHED_TIMEOUT + 1)
    assert [*reasons] == crowd.packeter.disconnected
    assert len(set(reasons.values())) == 1
    assert not caplog.records, "each of many strangers would have a line in the log"


def test_dripping_wastes_room_like_silence(crowd: Crowd) -> None:
    peers = fill(crowd, 5)
    for _ in range(int(5 * UNFINISHED_TIMEOUT) + 1):
        for peer in peers:
            if peer.is_connected:
                peer.push(b"x")
        crowd.network.advance(1)
    assert sum(peer.is_connected for peer in peers) == 2


def test_a_peer_that_nobody_waits_for_may_take_its_time(crowd: Crowd) -> None:
    (peer,) = fill(crowd, 1)
    peer.push(bytes(LIMIT))
    crowd.network.advance(10 * UNFINISHED_TIMEOUT)
    assert peer.is_connected
    assert peer.is_read


def test_a_pause_by_somebody_else_is_not_held_against_a_peer(crowd: Crowd) -> None:
    peers = fill(crowd, 5)
    busy = peers[2]
    crowd.link.pause_reading(busy.there, "somebody else")
    crowd.network.advance(10 * UNFINISHED_TIMEOUT)
    assert busy.is_connected
    crowd.link.resume_reading(busy.there, "somebody else")
    assert busy.is_read


def test_a_packet_that_fits_goes_on_at_once(crowd: Crowd) -> None:
    fill(crowd, 4)
    short = crowd.peer()
    short.begin(100 * KIBI, 90 * KIBI)
    assert short.is_read
    short.push(bytes(10 * KIBI))
    assert short.arrived


def test_many_silent_peers_do_not_keep_an_honest_one_waiting_for_each(crowd: Crowd) -> None:
    for _ in range(200):
        crowd.peer().begin(170 * KIBI, 70 * KIBI)
    honest = crowd.peer()
    honest.packeter.send_packet(honest.here, bytes(LIMIT))
    crowd.network.run_until(lambda: bool(honest.arrived), timeout=10)


def test_later_packets_do_not_keep_an_earlier_one_waiting(crowd: Crowd) -> None:
    honest = crowd.peer()
    honest.begin(2 * LIMIT, FULL + KIBI)
    for _ in range(20):
        crowd.peer().begin(80 * KIBI, 70 * KIBI)
        crowd.network.advance(0.5)
        honest.push(bytes(8 * KIBI))
        assert honest.is_read
    honest.push(bytes(LIMIT))
    honest.push(bytes(LIMIT))
    assert honest.arrived


def test_the_next_packet_goes_on_when_the_one_before_ends(crowd: Crowd) -> None:
    peers = fill(crowd, 6)
    (first,) = (peer for peer in peers if peer.is_read)
    first.link.close(first.here)
    crowd.network.advance(0.1)
    assert [peer.is_read for peer in peers if peer.is_connected].count(True) == 1


@pytest.mark.parametrize("seed", range(20))
def test_everything_that_honest_peers_send_arrives(seed: int) -> None:
    crowd = Crowd(MemoryNetwork(seed, latency=(0.0, 0.2)))
    random = Random(seed)
    peers = [crowd.peer() for _ in range(6)]
    fill(crowd, random.randrange(5))
    sizes = {peer: [random.choice((10, 70 * KIBI, 2 * LIMIT)) for _ in range(5)] for peer in peers}
    for peer in peers:
        for size in sizes[peer]:
            peer.packeter.send_packet(peer.here, bytes(size))
    crowd.network.run_until(lambda: all(len(peer.arrived) == 5 for peer in peers), timeout=300)
    assert {peer: [len(packet) for packet in peer.arrived] for peer in peers} == sizes
    assert crowd.peak < LIMIT + 10 * KIBI * KIBI + 11 * BLOCK


def test_a_limit_of_nothing_is_refused(network: MemoryNetwork) -> None:
    with pytest.raises(ValueError, match="max_unfinished_bytes"):
        DiaryPacketer(network.link("a"), max_unfinished_bytes=0)
