"""Checks anything that can happen to packets, in any order, against two lists."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)
from memory_packeters import DiaryPacketer

from snakemq.link.testing import MemoryLink, MemoryNetwork

SIZES = st.sampled_from([0, 0, 1, 1, 3, 3, 50, 50, 700, 5000, 70_000])


class Direction:
    """What one side of a connection has sent to the other, according to the model."""

    def __init__(self, sender: DiaryPacketer, conn_id: str, receiver: DiaryPacketer, at: str):
        self.sender, self.conn_id = sender, conn_id
        self.receiver, self.at = receiver, at
        self.packets: list[bytes] = []
        self.ids: list[int] = []

    def check(self) -> None:
        received = self.receiver.received[self.at]
        assert received == self.packets[: len(received)], "lost, doubled, broken or out of order"
        sent = self.sender.sent[self.conn_id]
        assert sent == self.ids[: len(sent)], "reported out of order"
        assert len(received) <= len(self.packets)

    def check_all_arrived(self) -> None:
        assert len(self.receiver.received[self.at]) == len(self.packets)
        assert self.sender.sent[self.conn_id] == self.ids
        assert self.sender.get_unsent_size(self.conn_id) == 0


class Connection:
    def __init__(self, a: DiaryPacketer, at_a: str, b: DiaryPacketer, at_b: str) -> None:
        self.ends = ((a, at_a), (b, at_b))
        self.directions = (Direction(a, at_a, b, at_b), Direction(b, at_b, a, at_a))

    @property
    def is_open(self) -> bool:
        return all(
            conn_id in packeter.connected and conn_id not in packeter.disconnected
            for packeter, conn_id in self.ends
        )


class PacketerMachine(RuleBasedStateMachine):
    connections = Bundle("connections")

    @initialize(
        seed=st.none() | st.integers(0, 1000),
        capacity=st.sampled_from([500, 256 * 1024]),
        at_once=st.booleans(),
    )
    def build(self, seed: int | None, capacity: int, at_once: bool) -> None:
        self.network = MemoryNetwork(seed, capacity=capacity, at_once=at_once)
        self.links: tuple[MemoryLink, MemoryLink] = (
            self.network.link("a"),
            self.network.link("b"),
        )
        self.packeters = tuple(map(DiaryPacketer, self.links))
        self.known: list[Connection] = []
        self.paused: set[tuple[MemoryLink, str]] = set()
        self.stalled: set[str] = set()

    @rule(target=connections)
    def connect(self) -> Connection:
        at_a, at_b = self.network.connect(*self.links)
        self.network.run_until_idle()
        connection = Connection(self.packeters[0], at_a, self.packeters[1], at_b)
        self.known.append(connection)
        return connection

    @rule(connection=connections, side=st.sampled_from([0, 1]), sizes=st.lists(SIZES, max_size=5))
    def send(self, connection: Connection, side: int, sizes: list[int]) -> None:
        direction = connection.directions[side]
        if direction.conn_id in direction.sender.disconnected:
            return
        for size in sizes:
            packet = bytes([len(direction.packets) % 256]) * size
            direction.ids.append(direction.sender.send_packet(direction.conn_id, packet))
            direction.packets.append(packet)

    @rule(passes=st.integers(1, 30))
    def run_a_little(self, passes: int) -> None:
        self.network.run_passes(passes)

    @rule()
    def run(self) -> None:
        self.network.run_until_idle()
        if self.paused or self.stalled:
            return
        for connection in self.known:
            if connection.is_open:
                for direction in connection.directions:
                    direction.check_all_arrived()

    @rule(connection=connections, side=st.sampled_from([0, 1]))
    def pause_reading(self, connection: Connection, side: int) -> None:
        _, conn_id = connection.ends[side]
        if connection.is_open:
            self.links[side].pause_reading(conn_id)
            self.paused.add((self.links[side], conn_id))

    @rule(connection=connections, side=st.sampled_from([0, 1]))
    def stall_sending(self, connection: Connection, side: int) -> None:
        _, conn_id = connection.ends[side]
        if connection.is_open:
            self.network.stall(conn_id)
            self.stalled.add(conn_id)

    @rule()
    def resume_all(self) -> None:
        for link, conn_id in self.paused:
            if conn_id in link.connections:
                link.resume_reading(conn_id)
        for conn_id in self.stalled:
            if any(conn_id in link.connections for link in self.links):
                self.network.unstall(conn_id)
        self.paused.clear()
        self.stalled.clear()

    @rule(connection=consumes(connections), side=st.sampled_from([0, 1]))
    def close(self, connection: Connection, side: int) -> None:
        _, conn_id = connection.ends[side]
        if conn_id in self.links[side].connections:
            self.links[side].close(conn_id)

    @rule(connection=consumes(connections))
    def break_it(self, connection: Connection) -> None:
        if connection.is_open:
            self.network.disconnect(connection.ends[0][1])

    @invariant()
    def packets_arrive_in_order_and_are_reported_in_order(self) -> None:
        for connection in getattr(self, "known", ()):
            for direction in connection.directions:
                direction.check()

    @invariant()
    def nothing_was_raised_as_far_as_the_link(self) -> None:
        if hasattr(self, "network"):
            assert self.network.errors == []
            assert not any(packeter.errors for packeter in self.packeters)

    def teardown(self) -> None:
        if hasattr(self, "network"):
            self.resume_all()
            self.run()


TestPacketerMachine: Any = PacketerMachine.TestCase
TestPacketerMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
