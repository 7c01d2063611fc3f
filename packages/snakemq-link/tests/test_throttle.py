"""The speed of a throttled connection, under a fake clock; its manners are in the conformance."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_packeters import DiaryPacketer, framed

from snakemq.exceptions import NoConnection, SendNotFinished
from snakemq.link import Link
from snakemq.link.testing import FakeClock, MemoryLink, MemoryNetwork
from snakemq.packeter import Packeter
from snakemq.throttle import Throttle

SPEEDS = [100, 1000, 12_345.6, 100_000, 1_000_000, 10_000_000]


class Line:
    """A throttled packeter, and a plain link on the other side that notes what comes when."""

    def __init__(self, network: MemoryNetwork, speed: float, *, name: str = "a") -> None:
        self.network = network
        self.link = network.link(name)
        self.throttle = Throttle(self.link, speed)
        self.packeter = DiaryPacketer(self.throttle)
        self.peer: MemoryLink = network.link(f"peer of {name}")
        self.arrivals: dict[str, list[tuple[float, int]]] = {}
        self.peer.on_recv.add(self._arrived)

    def _arrived(self, conn_id: str, data: bytes) -> None:
        self.arrivals.setdefault(conn_id, []).append((self.network.clock.time(), len(data)))

    def connect(self) -> tuple[str, str]:
        ids = self.network.connect(self.link, self.peer)
        self.network.run_until_idle()
        return ids

    def arrived(self, conn_id: str, begin: float, end: float) -> int:
        return sum(size for when, size in self.arrivals[conn_id] if begin < when <= end)


@pytest.mark.parametrize("start", [0.0, 1_000_000.0])
@pytest.mark.parametrize("packets_per_second", [0.5, 10, 500])
@pytest.mark.parametrize("speed", SPEEDS)
def test_speed_is_kept_over_five_seconds_and_in_each_of_them(
    speed: float, packets_per_second: float, start: float
) -> None:
    network = MemoryNetwork(clock=FakeClock(start))
    line = Line(network, speed)
    here, there = line.connect()
    for _ in range(int(6 * packets_per_second)):
        line.packeter.send_packet(here, bytes(int(speed / packets_per_second)))
    network.advance(5.5)
    assert line.arrived(there, start - 1, start + 5) == pytest.approx(5 * speed, rel=0.15)
    for second in range(5):
        begin = start + second
        assert line.arrived(there, begin, begin + 1) == pytest.approx(speed, rel=0.15)


@settings(max_examples=50)
@given(
    speed=st.floats(1.0, 1e8),
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=10),
    start=st.floats(0, 1e7),
    seed=st.integers(0, 100),
)
def test_it_is_never_faster_never_stuck_and_nothing_is_lost(
    speed: float, sizes: list[int], start: float, seed: int
) -> None:
    network = MemoryNetwork(seed, FakeClock(start), capacity=2000)
    line = Line(network, speed)
    here, there = line.connect()
    stream = bytearray()
    line.peer.on_recv.add(lambda _, data: stream.extend(data))
    for size in sizes:
        line.packeter.send_packet(here, bytes(size))
    total = sum(sizes) + 4 * len(sizes)
    network.run_until(lambda: len(stream) == total, timeout=total / speed * 1.5 + 10)
    arrived = 0
    for when, size in line.arrivals[there]:
        arrived += size
        assert arrived <= max(1.0, 0.05 * speed) + (when - start) * speed * 1.001 + 1
    assert stream == framed(*map(bytes, sizes))
    assert not network.errors


def test_each_connection_has_the_speed_for_itself() -> None:
    network = MemoryNetwork()
    line = Line(network, 10_000)
    connections = [line.connect() for _ in range(3)]
    for here, _ in connections:
        line.packeter.send_packet(here, bytes(100_000))
    network.advance(5)
    for _, there in connections:
        assert line.arrived(there, -1, 5) == pytest.approx(50_000, rel=0.15)


def test_time_without_sending_is_not_saved_up() -> None:
    network = MemoryNetwork()
    line = Line(network, 10_000)
    here, there = line.connect()
    network.advance(3600)
    line.packeter.send_packet(here, bytes(100_000))
    network.advance(1)
    assert line.arrived(there, -1, 3601) == pytest.approx(10_000, rel=0.15)


def test_receiving_is_not_limited() -> None:
    network = MemoryNetwork()
    line = Line(network, 10)
    here, there = line.connect()
    packeter = Packeter(line.peer)  # too late for the connection: plain bytes
    line.peer.send(there, framed(bytes(100_000)))
    network.run_until_idle()
    assert packeter is not None
    assert line.packeter.received[here] == [bytes(100_000)]


def test_small_packets_do_not_wait_when_there_is_no_traffic() -> None:
    network = MemoryNetwork()
    line = Line(network, 10_000)
    here, there = line.connect()
    line.packeter.send_packet(here, bytes(100))
    network.run_until_idle()
    assert line.arrived(there, -1, 0) == 104


def test_bulk_goes_in_few_sends() -> None:
    network = MemoryNetwork()
    line = Line(network, 1_000_000)
    here, there = line.connect()
    line.packeter.send_packet(here, bytes(2_000_000))
    network.advance(1)
    assert len(line.arrivals[there]) < 60


def test_slow_peer_is_slower_than_the_throttle() -> None:
    network = MemoryNetwork(capacity=1000)
    line = Line(network, 10_000)
    here, there = line.connect()
    line.peer.pause_reading(there)
    line.packeter.send_packet(here, bytes(5000))
    network.advance(5)
    line.peer.resume_reading(there)
    network.run_until_idle()
    assert line.arrived(there, -1, 5) <= 2000  # what was waiting, and a burst
    network.advance(5)
    assert line.arrived(there, -1, 10) == 5004


def test_speed_of_later_connections_can_be_changed() -> None:
    network = MemoryNetwork()
    line = Line(network, 1000)
    old = line.connect()
    line.throttle.speed = 100_000
    new = line.connect()
    for here, _ in (old, new):
        line.packeter.send_packet(here, bytes(1_000_000))
    network.advance(5)
    assert line.arrived(old[1], -1, 5) == pytest.approx(5000, rel=0.15)
    assert line.arrived(new[1], -1, 5) == pytest.approx(500_000, rel=0.15)


@pytest.mark.parametrize("speed", [0, -1, float("nan")])
def test_speed_is_above_zero(speed: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Throttle(MemoryNetwork().link("a"), speed)


def test_connection_that_ends_while_it_waits() -> None:
    network = MemoryNetwork()
    line = Line(network, 10)
    here, there = line.connect()
    line.packeter.send_packet(here, bytes(1000))
    network.advance(1)
    line.peer.close(there)
    network.advance(10)
    assert line.packeter.disconnected == [here]
    with pytest.raises(NoConnection):
        line.throttle.send(here, b"x")
    assert not network.errors


def test_throttle_that_is_built_later_leaves_older_connections_alone() -> None:
    network = MemoryNetwork()
    link, other = network.link("a"), network.link("b")
    here, _ = network.connect(link, other)
    network.run_until_idle()
    throttle = Throttle(link, 1000)
    told: list[str] = []
    throttle.on_ready_to_send.add(lambda conn_id, _: told.append(conn_id))
    throttle.on_disconnect.add(told.append)
    link.send(here, b"x")
    network.run_until_idle()
    with pytest.raises(NoConnection):
        throttle.send(here, b"x")
    throttle.close(here)
    assert told == []
    assert not network.errors


def test_close_inside_on_connect_keeps_it_from_later_callbacks() -> None:
    network = MemoryNetwork()
    line = Line(network, 1000)
    line.throttle.on_connect.callbacks = (line.link.close, *line.throttle.on_connect.callbacks)
    line.connect()
    assert line.packeter.connected == []
    assert not network.errors


def test_throttle_over_a_throttle_is_as_slow_as_the_slower_one() -> None:
    network = MemoryNetwork()
    line = Line(network, 100_000)
    packeter = Packeter(Throttle(line.throttle, 10_000))
    here, there = line.connect()
    packeter.send_packet(here, bytes(100_000))
    network.advance(5)
    assert line.arrived(there, -1, 5) == pytest.approx(50_000, rel=0.15)


def test_send_that_the_link_refuses_is_not_taken_for_one_under_way() -> None:
    network = MemoryNetwork()
    link, peer = network.link("a"), network.link("b")
    throttle = Throttle(link, 1_000_000)
    conn_id, _ = network.connect(link, peer)
    network.run_until_idle()
    link.send(conn_id, b"past the throttle")
    with pytest.raises(SendNotFinished):
        throttle.send(conn_id, b"refused")
    received: list[bytes] = []
    peer.on_recv.add(lambda _conn_id, data: received.append(data))
    network.run_until_idle()
    throttle.send(conn_id, b"taken")
    network.run_until_idle()
    assert received[-1] == b"taken"


def test_throttle_reports_failures_if_the_link_below_does(network: MemoryNetwork) -> None:
    link = Link()
    try:
        throttle = Throttle(link, 1000)
        assert throttle.on_connect_failed is link.on_connect_failed
        assert throttle.report_failure == link.report_failure
        throttle.on_connect_failed = print
        assert link.on_connect_failed.callbacks == (print,)
    finally:
        link.cleanup()
    assert not hasattr(Throttle(network.link("alice"), 1000), "report_failure")


def test_abilities_of_the_wrapped_link_are_passed_on(network: MemoryNetwork) -> None:
    link = Link()
    try:
        throttle = Throttle(link, 1000)
        for event in ("on_crowded", "on_closing", "on_closed", "on_connect_failed"):
            assert getattr(throttle, event) is getattr(link, event)
    finally:
        link.cleanup()
    memory_link = network.link("cannot be crowded")
    assert not Throttle(memory_link, 1000).on_crowded.callbacks
