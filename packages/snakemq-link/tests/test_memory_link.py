from __future__ import annotations

import inspect
import logging
import threading
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemq.exceptions import LoopError, NoConnection
from snakemq.link import testing
from snakemq.link.testing import (
    Cut,
    FakeClock,
    MemoryLink,
    MemoryNetwork,
    TraceEvent,
    byte_by_byte,
    pieces_of,
    random_pieces,
    whole,
)


class Peer:
    """A link that sends all that it is given, and remembers what happened."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self.network = network
        self.link = network.link(name)
        self.received: defaultdict[str, bytes] = defaultdict(bytes)
        self.pieces: list[int] = []
        self.sent: list[int] = []
        self.events: list[str] = []
        self._left: dict[str, bytes] = {}
        self.link.on_connect.add(lambda conn_id: self.events.append(f"connect {conn_id}"))
        self.link.on_disconnect.add(lambda conn_id: self.events.append(f"disconnect {conn_id}"))
        self.link.on_recv.add(self._on_recv)
        self.link.on_ready_to_send.add(self._on_ready_to_send)

    def send(self, conn_id: str, data: bytes) -> None:
        self._left[conn_id] = data
        self.link.send(conn_id, data)

    def _on_recv(self, conn_id: str, data: bytes) -> None:
        self.received[conn_id] += data
        self.pieces.append(len(data))

    def _on_ready_to_send(self, conn_id: str, sent: int) -> None:
        self.sent.append(sent)
        rest = self._left[conn_id] = self._left[conn_id][sent:]
        if rest:
            self.link.send(conn_id, rest)


class Pair:
    """Two peers with one connection."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.a, self.b = Peer(network, "a"), Peer(network, "b")
        self.conn_a, self.conn_b = network.connect(self.a.link, self.b.link)
        network.run_until_idle()

    @property
    def arrived(self) -> bytes:
        """What b got from a."""
        return self.b.received[self.conn_b]

    @property
    def ended(self) -> tuple[bool, bool]:
        """Return whether a and b know that the connection is gone."""
        return (
            f"disconnect {self.conn_a}" in self.a.events,
            f"disconnect {self.conn_b}" in self.b.events,
        )


DATA = bytes(range(256)) * 4


# -- the clock


def test_the_clock_moves_only_when_told() -> None:
    clock = FakeClock(5)
    assert clock.time() == 5.0
    clock.advance(0.5)
    clock.advance_to(7)
    assert clock.time() == 7.0


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_the_clock_does_not_go_back(seconds: float) -> None:
    clock = FakeClock(5)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(seconds)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance_to(5 + seconds)


def test_links_tell_the_time_of_the_clock_of_their_network() -> None:
    clock = FakeClock(100)
    network = MemoryNetwork(clock=clock)
    link = network.link("a")
    network.advance(1.5)
    assert link.time() == clock.time() == 101.5


# -- running


def test_nothing_happens_before_the_network_runs() -> None:
    network = MemoryNetwork()
    a, b = Peer(network, "a"), Peer(network, "b")
    conn_a, conn_b = network.connect(a.link, b.link)
    assert a.events == b.events == []
    with pytest.raises(NoConnection):
        a.link.send(conn_a, DATA)
    network.run_until_idle()
    assert (a.events, b.events) == ([f"connect {conn_a}"], [f"connect {conn_b}"])
    a.send(conn_a, DATA)
    assert (a.sent, b.pieces) == ([], [])
    network.run_until_idle()
    assert (a.sent, b.pieces) == ([len(DATA)], [len(DATA)])


def test_run_until_idle_does_not_move_the_clock() -> None:
    network = MemoryNetwork()
    calls: list[str] = []
    link = network.link("a")
    link.call_later(0, lambda: calls.append("now"))
    link.call_later(0.001, lambda: calls.append("later"))
    network.run_until_idle()
    assert (calls, network.clock.time()) == (["now"], 0.0)


def test_advance_goes_from_timer_to_timer() -> None:
    network = MemoryNetwork()
    a, b = network.link("a"), network.link("b")
    calls: list[tuple[str, float]] = []
    a.call_later(3, lambda: calls.append(("a", a.time())))
    b.call_later(1, lambda: calls.append(("b", b.time())))
    b.call_later(2, lambda: b.call_later(0.5, lambda: calls.append(("b again", b.time()))))
    a.call_later(5, lambda: calls.append(("too late", a.time())))
    network.advance(4)
    assert calls == [("b", 1.0), ("b again", 2.5), ("a", 3.0)]
    assert network.clock.time() == 4.0


def test_timers_of_the_same_time_are_called_in_the_order_they_were_planned() -> None:
    network = MemoryNetwork(seed=3)
    link = network.link("a")
    calls: list[int] = []
    for number in range(10):
        link.call_later(1, lambda number=number: calls.append(number))  # type: ignore[misc]
    network.advance(1)
    assert calls == list(range(10))


def test_a_clock_that_was_moved_from_outside_makes_timers_due() -> None:
    network = MemoryNetwork()
    calls: list[float] = []
    link = network.link("a")
    link.call_later(1, lambda: calls.append(link.time()))
    network.clock.advance(5)
    network.run_until_idle()
    assert calls == [5.0]


def test_run_until_moves_the_clock_as_far_as_needed() -> None:
    network = MemoryNetwork()
    calls: list[int] = []
    link = network.link("a")
    link.call_later(10, lambda: calls.append(1))
    link.call_later(20, lambda: calls.append(2))
    network.run_until(lambda: bool(calls))
    assert (calls, network.clock.time()) == ([1], 10.0)


def test_run_until_gives_up_at_its_timeout() -> None:
    network = MemoryNetwork(seed=99)
    network.link("a").call_later(61, int)
    with pytest.raises(TimeoutError, match=r"not within 60 s \(seed 99\)"):
        network.run_until(lambda: False)
    assert network.clock.time() <= 60


def test_run_until_gives_up_when_nothing_is_left_to_do() -> None:
    with pytest.raises(TimeoutError, match="nothing is left to do"):
        MemoryNetwork().run_until(lambda: False)


def test_run_until_waits_for_other_threads_before_it_moves_the_clock() -> None:
    network = MemoryNetwork()
    link = network.link("a")
    work_may_end = threading.Event()
    results: list[str] = []
    link.call_later(30, lambda: results.append("time is over"))

    def work() -> None:
        work_may_end.wait(10)
        link.on_loop_pass.add(lambda: results.append("work is done"))
        link.wakeup_poll()

    def predicate() -> bool:
        work_may_end.set()  # so: not before the network runs
        return bool(results)

    thread = threading.Thread(target=work)
    thread.start()
    network.run_until(predicate, patience=10)
    thread.join()
    assert (results, network.clock.time()) == (["work is done"], 0.0)


def test_patience_ends() -> None:
    network = MemoryNetwork()
    calls: list[int] = []
    network.link("a").call_later(30, lambda: calls.append(1))
    network.run_until(lambda: bool(calls), patience=0.01)
    assert network.clock.time() == 30


@pytest.mark.parametrize("seed", [None, 5])
def test_endless_ping_pong_is_given_up(seed: int | None) -> None:
    pair = Pair(MemoryNetwork(seed, step_limit=500))
    for peer in (pair.a, pair.b):
        peer.link.on_recv.add(peer.send)
    pair.a.send(pair.conn_a, b"ping")
    with pytest.raises(RuntimeError, match=r"still busy after 500 passes at 0 s.*last: .*recv"):
        pair.network.run_until_idle()
    with pytest.raises(RuntimeError, match="still busy"):
        pair.network.advance(1)
    with pytest.raises(RuntimeError, match="still busy"):
        pair.network.run_until(lambda: False)


def test_a_timer_that_plans_itself_without_delay_is_given_up() -> None:
    network = MemoryNetwork(step_limit=500)
    link = network.link("a")

    def again() -> None:
        link.call_later(0, again)

    again()
    with pytest.raises(RuntimeError, match="still busy"):
        network.run_until_idle()


def test_a_callback_must_not_run_the_network() -> None:
    network = MemoryNetwork()
    link = network.link("a")
    link.call_later(0, network.run_until_idle)
    network.run_until_idle()
    (error,) = link.errors
    assert isinstance(error, LoopError)
    network.run_until_idle()  # not forever


def test_what_callbacks_raise_is_collected_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    pair = Pair(MemoryNetwork())
    error = ZeroDivisionError("of this test")

    def bad(*_: object) -> None:
        raise error

    pair.b.link.on_recv.add(bad)
    with caplog.at_level(logging.ERROR, "snakemq.link"):
        pair.a.send(pair.conn_a, DATA)
        pair.network.run_until_idle()
    assert pair.a.link.errors == []
    assert pair.b.link.errors == pair.network.errors == [error]
    assert "b: a callback raised" in caplog.text


def test_in_loop_is_about_one_link() -> None:
    network = MemoryNetwork()
    a, b = network.link("a"), network.link("b")
    inside: list[tuple[bool, bool]] = []
    a.call_later(0, lambda: inside.append((a.in_loop(), b.in_loop())))
    network.run_until_idle()
    assert inside == [(True, False)]


def test_a_pass_happens_only_for_a_reason() -> None:
    network = MemoryNetwork()
    link = network.link("a")
    passes: list[float] = []
    link.on_loop_pass.add(lambda: passes.append(link.time()))
    network.advance(100)
    assert passes == []
    for _ in range(1000):
        link.wakeup_poll()
    network.advance(1)
    assert passes == [100.0]


# -- names and ids


def test_two_links_cannot_have_one_name() -> None:
    network = MemoryNetwork()
    network.link("a")
    with pytest.raises(ValueError, match="'a' already"):
        network.link("a")
    with pytest.raises(ValueError, match="'a' already"):
        MemoryLink(network, "a")


def test_a_link_can_be_connected_to_itself() -> None:
    network = MemoryNetwork()
    peer = Peer(network, "a")
    there, back = network.connect(peer.link, peer.link)
    network.run_until_idle()
    peer.send(there, DATA)
    network.run_until_idle()
    assert peer.received == {back: DATA}


def test_the_network_knows_no_connection_that_is_gone() -> None:
    pair = Pair(MemoryNetwork())
    assert pair.a.link.connections == (pair.conn_a,)
    pair.a.link.close(pair.conn_a)
    with pytest.raises(NoConnection):
        pair.network.disconnect(pair.conn_a)
    assert pair.b.link.connections == (pair.conn_b,)
    pair.network.run_until_idle()
    assert not pair.a.link.connections
    assert not pair.b.link.connections


def test_a_connection_that_breaks_before_it_is_announced_is_never_reported() -> None:
    network = MemoryNetwork()
    a, b = Peer(network, "a"), Peer(network, "b")
    conn_a, _ = network.connect(a.link, b.link)
    network.disconnect(conn_a)
    network.run_until_idle()
    assert a.events == b.events == []


def test_public_things_report_their_public_home() -> None:
    for name in testing.__all__:
        thing = getattr(testing, name)
        if inspect.isclass(thing):
            assert thing.__module__ == "snakemq.link.testing", name


# -- how data is cut


@pytest.mark.parametrize(
    ("cut", "pieces"),
    [
        (whole, [1024]),
        (byte_by_byte, [1] * 1024),
        (pieces_of(1000), [1000, 24]),
    ],
)
def test_cuts(cut: Cut, pieces: list[int]) -> None:
    sending = Pair(MemoryNetwork(send_cut=cut))
    receiving = Pair(MemoryNetwork(recv_cut=cut))
    for pair in (sending, receiving):
        pair.a.send(pair.conn_a, DATA)
        pair.network.run_until_idle()
        assert pair.arrived == DATA
    assert sending.a.sent == pieces
    assert receiving.b.pieces == pieces


def test_random_pieces_are_of_all_kinds() -> None:
    pair = Pair(MemoryNetwork(seed=1))
    pair.a.send(pair.conn_a, DATA * 100)
    pair.network.run_until_idle()
    assert min(pair.b.pieces) < 17
    assert max(pair.b.pieces) > 1000


def test_a_piece_has_at_least_one_byte() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        pieces_of(0)


@given(
    seed=st.integers(0, 2**32),
    streams=st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=3),
    capacity=st.none() | st.integers(1, 100),
    latency=st.sampled_from([0.0, 0.5, (0.0, 1.0)]),
    cut=st.sampled_from([whole, byte_by_byte, random_pieces, pieces_of(7)]),
)
def test_whatever_the_cuts_the_bytes_arrive(
    seed: int,
    streams: list[bytes],
    capacity: int | None,
    latency: float | tuple[float, float],
    cut: Cut,
) -> None:
    network = MemoryNetwork(seed, capacity=capacity, latency=latency, recv_cut=cut)
    a, b = Peer(network, "a"), Peer(network, "b")
    conns = [network.connect(a.link, b.link) for _ in streams]
    network.run_until_idle()
    for (conn_a, conn_b), data in zip(conns, streams, strict=True):
        a.send(conn_a, data)
        b.send(conn_b, data[::-1])
    network.advance(1000)
    for (conn_a, conn_b), data in zip(conns, streams, strict=True):
        assert b.received[conn_b] == data
        assert a.received[conn_a] == data[::-1]


# -- one seed, one run


def run_of(seed: int) -> tuple[list[TraceEvent], dict[str, bytes]]:
    """Do a little of everything."""
    network = MemoryNetwork(seed, latency=(0.0, 0.1), capacity=500)
    pairs = [(Peer(network, f"a{n}"), Peer(network, f"b{n}")) for n in range(3)]
    received: dict[str, bytes] = {}
    for a, b in pairs:
        ids = network.connect(a.link, b.link)
        network.run_until_idle()
        a.send(ids[0], DATA)
        b.send(ids[1], DATA)
        network.partition(a.link, b.link, network.random.random())
        if network.random.random() < 0.5:
            network.reset_after(ids[0], network.random.randrange(1000))
    network.advance(10)
    assert network.errors == []
    for peer in (peer for pair in pairs for peer in pair):
        received |= peer.received
    return network.trace, received


def test_the_same_seed_is_the_same_run() -> None:
    for seed in range(20):
        assert run_of(seed) == run_of(seed)


def test_other_seeds_are_other_runs() -> None:
    traces = {tuple(run_of(seed)[0]) for seed in range(20)}
    assert len(traces) == 20


def test_the_order_of_simultaneous_events_depends_on_the_seed() -> None:
    def order(seed: int | None) -> tuple[str, ...]:
        network = MemoryNetwork(seed)
        calls: list[str] = []
        for name in "abcd":
            network.link(name).call_later(1, lambda name=name: calls.append(name))  # type: ignore[misc]
        network.advance(1)
        return tuple(calls)

    assert order(None) == ("a", "b", "c", "d")
    assert len({order(seed) for seed in range(500)}) == 24


def test_the_trace_tells_what_happened() -> None:
    pair = Pair(MemoryNetwork())
    pair.a.send(pair.conn_a, b"12345")
    pair.network.advance(2)
    pair.a.link.close(pair.conn_a)
    pair.network.run_until_idle()
    assert [tuple(event) for event in pair.network.trace] == [
        (0.0, "a", "connect", pair.conn_a, 0),
        (0.0, "b", "connect", pair.conn_b, 0),
        (0.0, "a", "sent", pair.conn_a, 5),
        (0.0, "b", "recv", pair.conn_b, 5),
        (2.0, "a", "disconnect", pair.conn_a, 0),
        (2.0, "b", "disconnect", pair.conn_b, 0),
    ]


# -- faults


def test_a_peer_that_does_not_read_stops_the_sender() -> None:
    pair = Pair(MemoryNetwork(capacity=100))
    pair.b.link.pause_reading(pair.conn_b)
    pair.a.send(pair.conn_a, DATA)
    pair.network.advance(100)
    assert (pair.a.sent, pair.arrived) == ([100], b"")
    pair.b.link.resume_reading(pair.conn_b)
    pair.network.run_until_idle()
    assert pair.arrived == DATA


def test_a_peer_that_does_not_read_does_not_notice_the_end() -> None:
    pair = Pair(MemoryNetwork())
    pair.b.link.pause_reading(pair.conn_b)
    pair.a.send(pair.conn_a, DATA)
    pair.network.run_until_idle()
    pair.a.link.close(pair.conn_a)
    pair.network.run_until_idle()
    assert (pair.arrived, pair.ended) == (b"", (True, False))
    pair.b.link.resume_reading(pair.conn_b)
    pair.network.run_until_idle()
    assert (pair.arrived, pair.ended) == (DATA, (True, True))


def test_a_stalled_send_does_not_finish() -> None:
    pair = Pair(MemoryNetwork())
    pair.network.stall(pair.conn_a)
    pair.a.send(pair.conn_a, DATA)
    pair.b.send(pair.conn_b, DATA)
    pair.network.advance(100)
    assert (pair.a.sent, pair.b.sent) == ([], [len(DATA)])
    pair.network.unstall(pair.conn_a)
    pair.network.run_until_idle()
    assert pair.arrived == DATA


def test_capacity_counts_what_is_in_the_air() -> None:
    pair = Pair(MemoryNetwork(capacity=400, latency=1.0))
    pair.a.send(pair.conn_a, DATA)
    pair.network.run_until_idle()
    assert pair.a.sent == [400]
    pair.network.advance(1)
    assert pair.a.sent == [400, 400]


def test_latency_is_the_time_from_send_to_on_recv() -> None:
    pair = Pair(MemoryNetwork())
    pair.network.shape(pair.conn_a, latency=2.0)
    pair.network.shape(pair.conn_b, latency=0.5)
    times: list[tuple[str, float]] = []
    pair.a.link.on_recv.add(lambda *_: times.append(("a", pair.a.link.time())))
    pair.b.link.on_recv.add(lambda *_: times.append(("b", pair.b.link.time())))
    pair.a.send(pair.conn_a, DATA)
    pair.b.send(pair.conn_b, DATA)
    pair.network.advance(10)
    assert times == [("a", 0.5), ("b", 2.0)]


def test_the_end_of_a_connection_does_not_overtake_the_data() -> None:
    pair = Pair(MemoryNetwork(latency=(0.0, 1.0)))
    for _ in range(20):
        pair.a.send(pair.conn_a, DATA)
        pair.network.run_until_idle()
    pair.a.link.close(pair.conn_a)
    pair.network.run_until(lambda: pair.ended[1])
    assert pair.arrived == DATA * 20


def test_the_shape_of_a_direction_can_change() -> None:
    pair = Pair(MemoryNetwork(capacity=10))
    pair.b.link.pause_reading(pair.conn_b)
    pair.a.send(pair.conn_a, DATA)
    pair.network.run_until_idle()
    pair.network.shape(pair.conn_a, capacity=100, send_cut=pieces_of(30), recv_cut=pieces_of(7))
    pair.network.run_until_idle()
    assert pair.a.sent == [10, 30, 30, 30]
    pair.b.link.resume_reading(pair.conn_b)
    pair.network.run_until_idle()
    assert set(pair.b.pieces[:-1]) == {7}
    assert pair.arrived == DATA


def test_disconnect_tells_both_sides_and_loses_what_was_in_flight() -> None:
    pair = Pair(MemoryNetwork(latency=1.0))
    pair.a.send(pair.conn_a, DATA)
    pair.network.run_until_idle()
    pair.network.disconnect(pair.conn_b)
    pair.b.send(pair.conn_b, DATA)  # b has not heard of it yet: no error, no report
    pair.network.advance(10)
    assert (pair.arrived, pair.b.sent, pair.ended) == (b"", [], (True, True))
    assert pair.network.faults == {"reset": 1}


@pytest.mark.parametrize("cut", [whole, byte_by_byte, pieces_of(100)])
@pytest.mark.parametrize("size", [0, 1, 99, 100, 101, 1023, 1024])
def test_a_connection_breaks_at_the_very_byte(size: int, cut: Cut) -> None:
    pair = Pair(MemoryNetwork(recv_cut=cut))
    pair.network.reset_after(pair.conn_a, size)
    pair.a.send(pair.conn_a, DATA)
    pair.network.run_until_idle()
    assert (pair.arrived, pair.ended) == (DATA[:size], (True, True))


def test_a_connection_does_not_break_before_the_byte() -> None:
    pair = Pair(MemoryNetwork())
    pair.network.reset_after(pair.conn_a, len(DATA) + 1)
    pair.a.send(pair.conn_a, DATA)
    pair.network.run_until_idle()
    assert (pair.arrived, pair.ended) == (DATA, (False, False))


def test_nobody_notices_that_a_peer_vanishes() -> None:
    pair = Pair(MemoryNetwork(latency=1.0, capacity=300))
    pair.b.link.call_later(5, lambda: pair.b.events.append("timer"))
    pair.b.send(pair.conn_b, DATA)
    pair.network.run_until_idle()
    pair.network.vanish(pair.b.link)
    pair.b.link.wakeup_poll()
    pair.b.link.on_loop_pass.add(lambda: pair.b.events.append("pass"))
    events = list(pair.b.events)
    pair.a.send(pair.conn_a, DATA)
    pair.network.advance(100)
    assert pair.b.events == events
    assert (pair.a.received, pair.b.received) == ({}, {})
    assert pair.a.sent == [300]  # the system of a keeps it for nobody
    assert pair.ended == (False, False)
    with pytest.raises(NoConnection):
        pair.b.link.send(pair.conn_b, DATA)
    pair.a.link.close(pair.conn_a)
    pair.network.advance(100)
    assert pair.ended == (True, False)


def test_a_link_that_vanishes_in_a_callback_does_nothing_more() -> None:
    pair = Pair(MemoryNetwork())

    def vanish(*_: object) -> None:
        pair.b.link.call_later(0, lambda: pair.b.events.append("timer"))
        pair.network.vanish(pair.b.link)

    pair.b.link.on_recv.add(vanish)
    pair.b.link.on_loop_pass.add(lambda: pair.b.events.append("pass"))
    pair.b.send(pair.conn_b, DATA)  # its report is planned for the same pass
    pair.network.run_until_idle()
    events = list(pair.b.events)
    pair.a.send(pair.conn_a, DATA)
    pair.network.advance(10)
    assert pair.arrived == DATA
    assert pair.b.events == events


def test_peers_of_a_crashed_process_get_what_its_system_had() -> None:
    pair = Pair(MemoryNetwork(capacity=300, latency=1.0))
    pair.b.send(pair.conn_b, DATA)
    pair.network.run_until_idle()
    events = list(pair.b.events)
    pair.network.crash(pair.b.link)
    pair.network.advance(10)
    assert pair.b.events == events
    assert (pair.a.received[pair.conn_a], pair.ended) == (DATA[:300], (True, False))


@pytest.mark.parametrize("fault", ["vanish", "crash"])
def test_a_link_can_restart_under_its_name(fault: str) -> None:
    pair = Pair(MemoryNetwork())
    getattr(pair.network, fault)(pair.b.link)
    with pytest.raises(ValueError, match="gone already"):
        getattr(pair.network, fault)(pair.b.link)
    with pytest.raises(ConnectionRefusedError):
        pair.network.connect(pair.a.link, pair.b.link)
    again = Peer(pair.network, "b")
    conn_a, conn_b = pair.network.connect(pair.a.link, again.link)
    assert conn_b != pair.conn_b
    pair.network.run_until_idle()
    pair.a.send(conn_a, DATA)
    pair.network.run_until_idle()
    assert again.received == {conn_b: DATA}
    assert pair.network.faults == {fault: 1}


def test_nothing_passes_a_partition_and_nothing_is_lost() -> None:
    pair = Pair(MemoryNetwork(capacity=300))
    other = Peer(pair.network, "other")
    conn_a, conn_other = pair.network.connect(pair.a.link, other.link)
    pair.network.run_until_idle()
    pair.network.partition(pair.b.link, pair.a.link)
    pair.a.send(pair.conn_a, DATA)
    pair.b.send(pair.conn_b, DATA)
    pair.a.send(conn_a, DATA)
    pair.network.advance(100)
    assert (pair.arrived, pair.a.received) == (b"", {})
    assert other.received[conn_other] == DATA
    with pytest.raises(TimeoutError, match="partitioned"):
        pair.network.connect(pair.a.link, pair.b.link)
    pair.network.heal(pair.a.link, pair.b.link)
    pair.network.run_until_idle()
    assert pair.arrived == pair.a.received[pair.conn_a] == DATA


def test_the_end_of_a_connection_does_not_pass_a_partition() -> None:
    pair = Pair(MemoryNetwork())
    pair.network.partition(pair.a.link, pair.b.link)
    pair.a.link.close(pair.conn_a)
    pair.network.advance(100)
    assert pair.ended == (True, False)
    pair.network.heal(pair.a.link, pair.b.link)
    pair.network.run_until_idle()
    assert pair.ended == (True, True)


def test_a_partition_for_a_time() -> None:
    pair = Pair(MemoryNetwork())
    a, b = pair.a.link, pair.b.link
    pair.network.partition(a, b, 3)
    pair.network.advance(1)
    pair.network.heal(a, b)
    pair.network.heal(a, b)
    pair.network.advance(1)
    pair.network.partition(a, b, 5)  # until 7; the first one's end at 3 is not this one's
    times: list[float] = []
    b.on_recv.add(lambda *_: times.append(b.time()))
    pair.a.send(pair.conn_a, DATA)
    pair.network.advance(100)
    assert times == [7.0]
