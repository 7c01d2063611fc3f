"""Sends whose end is known at once: no report, and the next one may follow."""

from __future__ import annotations

import pytest
from real_links import DiaryLink, connect, pass_once, run_until

from snakemq.exceptions import NoConnection, SendNotFinished
from snakemq.link.testing import MemoryNetwork
from snakemq.packeter import Packeter
from snakemq.packeter._framing import BLOCK_SIZE

MEBI = 1024 * 1024


def fill(link: DiaryLink, conn_id: str) -> int:
    """Send until the system takes no more; returns how much it has taken of whole sends."""
    taken = 0
    while link.send_at_once(conn_id, bytes(MEBI)):
        taken += MEBI
    return taken


def test_it_is_not_reported_and_another_one_may_follow(link: DiaryLink, other: DiaryLink) -> None:
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


def test_connection_that_is_broken_is_told_later(link: DiaryLink, other: DiaryLink) -> None:
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


def test_memory_network_does_it_when_it_is_told_to_and_with_a_seed_now_and_then() -> None:
    """So that what is built on it meets both ways."""
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


def test_packets_that_were_sent_at_once_are_reported_even_if_the_connection_ends_then(
    link: DiaryLink, other: DiaryLink
) -> None:
    """A layer above would send them again, and the other side has them already."""
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
