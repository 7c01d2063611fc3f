"""Sends whose end is known at once: no report, and the next one may follow."""

from __future__ import annotations

import pytest
from memory_packeters import framed
from real_links import DiaryLink, connect, pass_once, run_until

from snakemq.exceptions import NoConnection, SendNotFinished
from snakemq.link.testing import MemoryNetwork
from snakemq.packeter import Packeter
from snakemq.packeter._framing import BLOCK_SIZE
from snakemq.throttle import Throttle

MEBI = 1024 * 1024


def fill(link: DiaryLink, conn_id: str) -> int:
    """Send until the system takes no more; returns how much it has taken of whole sends."""
    taken = 0
    while link.send_at_once(conn_id, bytes(MEBI)):
        taken += MEBI
    return taken


def test_finished_send_is_not_reported_and_another_may_follow(
    link: DiaryLink, other: DiaryLink
) -> None:
    here, there = connect(link, other)
    for data in (b"one", b"two", b"three"):
        assert link.send_at_once(here, data)
    link.send(here, b"four")
    run_until(lambda: other.received[there] == b"onetwothreefour", link, other)
    assert link.sent == {here: len(b"four")}


def test_what_the_system_does_not_take_at_once_is_reported(
    link: DiaryLink, other: DiaryLink
) -> None:
    here, there = connect(link, other)
    taken = fill(link, here)
    assert not link.sent
    with pytest.raises(SendNotFinished):
        link.send_at_once(here, b"x")
    with pytest.raises(SendNotFinished):
        link.send(here, b"x")
    run_until(lambda: link.sent[here], link, other)
    run_until(lambda: len(other.received[there]) == taken + link.sent[here], link, other)
    assert 1 <= link.sent[here] <= MEBI
    assert link.send_at_once(here, b"x")


def test_wrong_data_and_unknown_connections_are_refused(link: DiaryLink, other: DiaryLink) -> None:
    here, _ = connect(link, other)
    with pytest.raises(ValueError, match="nothing"):
        link.send_at_once(here, b"")
    with pytest.raises(TypeError):
        link.send_at_once(here, "text")  # type: ignore[arg-type]
    with pytest.raises(NoConnection):
        link.send_at_once("nobody", b"x")
    assert link.send_at_once(here, b"x")


def test_broken_connection_is_reported_later(link: DiaryLink, other: DiaryLink) -> None:
    here, there = connect(link, other)
    other.close(there)
    while link.send_at_once(here, b"x"):  # the system notices it late
        pass
    assert not link.disconnected
    run_until(lambda: link.disconnected == [here], link)
    assert not link.sent


def sends_at_once(network: MemoryNetwork) -> set[bool]:
    a, b = network.link("a"), network.link("b")
    conn_id, _ = network.connect(a, b)
    network.run_until_idle()
    answers = set()
    for _ in range(50):
        answers.add(a.send_at_once(conn_id, b"x"))
        network.run_until_idle()
    return answers


def test_memory_network_sends_at_once_on_request_and_sometimes_with_a_seed() -> None:
    """So tests over it meet both outcomes."""
    assert sends_at_once(MemoryNetwork()) == {False}
    assert sends_at_once(MemoryNetwork(at_once=True)) == {True}
    assert sends_at_once(MemoryNetwork(seed=1, at_once=True)) == {True, False}


# -- what the packeter makes of it


def test_blocks_leave_while_more_packets_are_queued(link: DiaryLink, other: DiaryLink) -> None:
    """The other side begins with the first block, not when the last packet was queued."""
    here, there = connect(link, other)
    packeter = Packeter(link)
    link.on_connect(here)  # the packeter is younger than the connection
    for _ in range(3):
        packeter.send_packet(here, bytes(BLOCK_SIZE // 2))
    assert packeter.get_unsent_size(here) < BLOCK_SIZE
    run_until(lambda: len(other.received[there]) >= BLOCK_SIZE, other)


def test_packets_that_were_sent_at_once_are_reported_at_the_end_of_the_pass(
    link: DiaryLink, other: DiaryLink
) -> None:
    packeter = Packeter(link)
    here, _ = connect(link, other)
    sent: list[int] = []
    packeter.on_packet_sent.add(lambda _, packet_id: sent.append(packet_id))
    ids = [packeter.send_packet(here, bytes(BLOCK_SIZE // 2)) for _ in range(5)]
    assert not sent
    pass_once(link)
    assert sent == ids
    assert not link.sent, "the link has nothing more to report"


def test_packets_sent_at_once_are_reported_even_if_the_connection_ends(
    link: DiaryLink, other: DiaryLink
) -> None:
    """Otherwise a layer above would send them again, though the other side has them already."""
    packeter = Packeter(link)
    here, _ = connect(link, other)
    told: list[int | str] = []

    def on_packet_sent(conn_id: str, packet_id: int) -> None:
        told.append(packet_id)
        packeter.send_packet(conn_id, b"is accepted, and lost")

    packeter.on_packet_sent.add(on_packet_sent)
    packeter.on_disconnect.add(told.append)
    sent = packeter.send_packet(here, bytes(BLOCK_SIZE))
    packeter.send_packet(here, b"is still queued")
    link.close(here)
    pass_once(link)
    assert told == [sent, here]


def test_backlog_of_one_connection_does_not_keep_the_others_waiting(
    link: DiaryLink, other: DiaryLink
) -> None:
    packeter = Packeter(link)
    here, there = connect(link, other)
    fill_up = [bytes(BLOCK_SIZE)] * 200
    for packet in fill_up:
        packeter.send_packet(here, packet)
    modest, at_other = connect(link, other)
    packeter.send_packet(modest, b"served")
    run_until(lambda: b"served" in other.received[at_other], link, other)
    assert len(other.received[there]) < sum(map(len, fill_up))
    run_until(lambda: not packeter.get_unsent_size(here), link, other)


# -- a single packet, before anything else


class Line:
    """A packeter without callbacks, connected to a peer in memory."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.network = network
        self.link, self.peer = network.link("a"), network.link("b")
        self.packeter = Packeter(self.link)
        self.received: list[bytes] = []
        Packeter(self.peer).on_packet_recv.add(lambda _, packet: self.received.append(packet))
        self.here, self.there = network.connect(self.link, self.peer)
        network.run_until_idle()

    def send(self, packet: bytes) -> tuple[int, bool] | None:
        return self.packeter.send_framed_at_once(self.here, framed(packet))


@pytest.fixture
def line() -> Line:
    return Line(MemoryNetwork(at_once=True))


def test_single_packet_is_taken_over_without_a_report(line: Line) -> None:
    told: list[int] = []
    line.packeter.on_packets_sent.add(lambda _, packet_id: told.append(packet_id))
    moment = len(line.network.trace)
    first = line.send(b"one")
    assert first is not None
    assert first[1]
    assert [event.event for event in line.network.trace[moment:]] == ["sent"]
    assert line.send(b"two") == (first[0] + 1, True)
    assert line.packeter.get_unsent_size(line.here) == 0
    line.network.run_until_idle()
    assert line.received == [b"one", b"two"]
    assert told == []


def test_packets_that_are_queued_afterwards_are_sent_after_it(line: Line) -> None:
    sent = line.send(b"one")
    assert sent is not None
    assert line.packeter.send_packet(line.here, b"two") == sent[0] + 1
    assert line.packeter.send_framed(line.here, [framed(b"three")], [9]) == sent[0] + 2
    line.network.run_until_idle()
    assert line.send(b"four") == (sent[0] + 3, True)
    line.network.run_until_idle()
    assert line.received == [b"one", b"two", b"three", b"four"]


def test_it_is_refused_while_another_one_is_queued(line: Line) -> None:
    queued = line.packeter.send_packet(line.here, b"one")
    assert line.send(b"two") is None
    line.network.run_until_idle()
    assert line.received == [b"one"]
    assert line.send(b"two") == (queued + 1, True), "a refusal costs no id"


def test_it_is_refused_while_another_one_is_being_sent() -> None:
    line = Line(MemoryNetwork(at_once=False))
    sent = line.send(b"one")
    assert sent is not None
    assert not sent[1]
    assert line.send(b"two") is None
    line.network.run_until_idle()
    assert line.send(b"three") == (sent[0] + 1, False)
    line.network.run_until_idle()
    assert line.received == [b"one", b"three"]


def test_it_is_refused_while_another_one_is_not_reported_yet(line: Line) -> None:
    """A report means that all packets up to this one are sent."""
    told: list[int] = []
    line.packeter.on_packets_sent.add(lambda _, packet_id: told.append(packet_id))
    large = line.packeter.send_packet(line.here, bytes(BLOCK_SIZE))
    assert line.packeter.get_unsent_size(line.here) == 0
    assert line.send(b"small") is None
    line.network.run_until_idle()
    assert told == [large]
    assert line.send(b"small") is not None


def test_it_is_refused_while_the_connection_ends(line: Line) -> None:
    answers: list[tuple[int, bool] | None] = []
    line.packeter.on_packets_sent.add(lambda *_: answers.append(line.send(b"too late")))
    line.packeter.send_packet(line.here, bytes(BLOCK_SIZE))
    line.link.close(line.here)
    assert answers == [None]


def test_it_is_refused_if_a_callback_waits_for_each_packet(line: Line) -> None:
    def on_packet_sent(conn_id: str, packet_id: int) -> None:
        pass

    line.packeter.on_packet_sent.add(on_packet_sent)
    assert line.send(b"x") is None
    line.packeter.on_packet_sent.remove(on_packet_sent)
    assert line.send(b"x") is not None


def test_it_is_refused_if_the_link_cannot_do_it(network: MemoryNetwork) -> None:
    link, peer = network.link("a"), network.link("b")
    packeter = Packeter(Throttle(link, 1000))
    here, _ = network.connect(link, peer)
    network.run_until_idle()
    assert packeter.send_framed_at_once(here, framed(b"x")) is None
    assert packeter.get_unsent_size(here) == 0


def test_what_is_taken_in_parts_is_reported_with_the_last_one(line: Line) -> None:
    told: list[int] = []
    line.packeter.on_packets_sent.add(lambda _, packet_id: told.append(packet_id))
    line.network.shape(line.here, capacity=10)
    sent = line.send(b"x" * 100)
    assert sent is not None
    assert not sent[1]
    behind = line.packeter.send_packet(line.here, b"behind")
    assert line.packeter.get_unsent_size(line.here) == len(framed(b"x" * 100, b"behind"))
    line.network.run_passes(3)
    assert told == []
    line.network.run_until_idle()
    assert line.received == [b"x" * 100, b"behind"]
    assert told == [sent[0], behind]


def test_it_needs_a_connection(line: Line) -> None:
    with pytest.raises(NoConnection):
        line.packeter.send_framed_at_once("nobody", framed(b"x"))
    line.link.close(line.here)
    with pytest.raises(NoConnection):
        line.send(b"x")


def test_nothing_is_sent_on_a_connection_that_was_given_up() -> None:
    network = MemoryNetwork(at_once=True)
    a, b = Packeter(network.link("a")), Packeter(network.link("b"))
    conn_id, _ = network.connect(a.link, b.link)  # type: ignore[arg-type]
    network.run_until_idle()
    received: list[bytes] = []
    b.on_packet_recv.add(lambda conn_id, packet: received.append(packet))
    a.send_packet(conn_id, b"before")
    network.run_until_idle()
    a.send_packet(conn_id, b"queued")
    a.stop_sending(conn_id)
    assert a.send_framed_at_once(conn_id, b"\0\0\0\x01x") is None
    a.send_packet(conn_id, b"after")
    network.run_until_idle()
    assert received == [b"before"]
    a.link.close(conn_id)
    with pytest.raises(NoConnection):
        a.stop_sending(conn_id)
