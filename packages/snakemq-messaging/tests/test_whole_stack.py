"""Three peers, a network that fails in every way, and what holds in spite of it.

Each example is one exact run: the seed decides in which order things happen and how streams are
cut, hypothesis decides what is done.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from memory_peers import Peer

from snakemq.link.testing import MemoryNetwork

IDENTS = ["alice", "bob", "carol"]

pairs = st.permutations(IDENTS).map(lambda names: (names[0], names[1]))


@dataclass
class Sent:
    data: bytes
    ttl: float | None
    uuid: bytes


class WholeStack(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.sent: dict[tuple[str, str], list[Sent]] = {}

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.network = MemoryNetwork(seed, latency=(0.0, 0.01), capacity=3000)
        self.peers = {ident: Peer(self.network, ident) for ident in IDENTS}
        for peer in self.peers.values():
            peer.messaging.keepalive_interval = 1

    @rule(pair=pairs, ttl=st.sampled_from([None, None, 0, 0.5, 60]), data=st.data())
    def send(self, pair: tuple[str, str], ttl: float | None, data: st.DataObject) -> None:
        sender, receiver = pair
        for _ in range(data.draw(st.sampled_from([1, 5, 50]))):
            self.count += 1
            text = b"%d" % self.count
            text += b"." * data.draw(st.sampled_from([0, 0, 0, 100, 5000]))
            uuid = self.peers[sender].send(receiver, text, ttl)
            self.sent.setdefault(pair, []).append(Sent(text, ttl, uuid))

    @rule(pair=pairs)
    def connect(self, pair: tuple[str, str]) -> None:
        one, other = (self.peers[ident].link for ident in pair)
        with suppress(TimeoutError):  # partitioned
            self.network.connect(one, other)

    @rule(seconds=st.sampled_from([0, 0.003, 0.01, 0.05, 0.3, 2]))
    def time_passes(self, seconds: float) -> None:
        self.network.advance(seconds)

    def draw_connection(self, data: st.DataObject) -> str | None:
        conn_ids = [c for peer in self.peers.values() for c in peer.link.connections]
        return data.draw(st.sampled_from(sorted(conn_ids))) if conn_ids else None

    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        if conn_id := self.draw_connection(data):
            self.network.disconnect(conn_id)

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        ident = data.draw(st.sampled_from(IDENTS))
        link = self.peers[ident].link
        if link.connections:
            link.close(data.draw(st.sampled_from(link.connections)))

    @rule(data=st.data(), size=st.integers(1, 3000))
    def cut_at_a_byte(self, data: st.DataObject, size: int) -> None:
        if conn_id := self.draw_connection(data):
            self.network.reset_after(conn_id, size)

    @rule(data=st.data())
    def stall(self, data: st.DataObject) -> None:
        if conn_id := self.draw_connection(data):
            self.network.stall(conn_id)

    @rule(pair=pairs, seconds=st.sampled_from([0.1, 1, 5]))
    def partition(self, pair: tuple[str, str], seconds: float) -> None:
        one, other = (self.peers[ident].link for ident in pair)
        self.network.partition(one, other, seconds)

    def teardown(self) -> None:
        self.network.advance(10)  # partitions heal
        for peer in self.peers.values():
            for conn_id in peer.link.connections:
                self.network.disconnect(conn_id)
        self.network.advance(1)
        for one, other in (("alice", "bob"), ("bob", "carol"), ("carol", "alice")):
            self.peers[one].connect(self.peers[other])
        self.network.advance(5)
        self.check()

    def check(self) -> None:
        assert self.network.errors == []
        for (sender, receiver), sent in self.sent.items():
            received = [m.uuid for _, i, m in self.peers[receiver].received if i == sender]
            uuids = [each.uuid for each in sent]
            arrived = set(received)
            assert len(received) == len(arrived), "twice"
            assert received == [uuid for uuid in uuids if uuid in arrived], "order"
            dropped = [uuid for ident, uuid in self.peers[sender].dropped if ident == receiver]
            assert len(dropped) == len(set(dropped)), "reported twice"
            assert arrived | set(dropped) == set(uuids), "neither delivered nor reported"
            lasting = {each.uuid for each in sent if each.ttl is None}
            assert lasting <= arrived, "lost"
            assert not lasting & set(dropped), "reported in spite of ttl=None"
        total = sum(len(peer.received) for peer in self.peers.values())
        assert total <= self.count, "from nobody"


TestWholeStack = WholeStack.TestCase
TestWholeStack.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
