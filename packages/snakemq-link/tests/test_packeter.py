"""Packets over links in memory: order, callbacks, limits, and whatever is done inside callbacks."""

from __future__ import annotations

import struct

import pytest
from memory_packeters import Pair, framed

from snakemq.exceptions import (
    NoConnection,
    SendNotFinished,
    SnakeMQException,
    SnakeMQMessageTooLarge,
    SnakeMQPacketTooLarge,
)
from snakemq.link import BytesLike
from snakemq.link.testing import MemoryNetwork, byte_by_byte
from snakemq.packeter import MAX_PACKET_SIZE, Packet, Packeter
from snakemq.packeter._framing import BLOCK_SIZE, FORMAT_LIMIT

# -- what 1.6 documents


def test_packets_arrive_whole_and_in_order_in_both_directions(pair: Pair) -> None:
    sizes = (0, 1, 5, 1000, 0, BLOCK_SIZE, 3 * BLOCK_SIZE + 1, 2)
    there = [bytes([number]) * size for number, size in enumerate(sizes)]
    back = there[::-1]
    for packet in there:
        pair.a.send_packet(pair.at_a, packet)
    for packet in back:
        pair.b.send_packet(pair.at_b, packet)
    pair.run()
    assert pair.b.received[pair.at_b] == there
    assert pair.a.received[pair.at_a] == back
    assert all(type(packet) is bytes for packet in pair.b.received[pair.at_b])


def test_ids_increase_and_each_packet_is_reported_once_and_in_order(pair: Pair) -> None:
    other_a, _ = pair.connect()
    ids = [
        pair.a.send_packet((pair.at_a, other_a)[number % 2], bytes(number * 1000))
        for number in range(50)
    ]
    assert ids == sorted(set(ids))
    pair.run()
    assert pair.a.sent[pair.at_a] == ids[::2]
    assert pair.a.sent[other_a] == ids[1::2]


def test_on_packet_send_is_the_name_that_1_6_documents_for_on_packet_sent(pair: Pair) -> None:
    assert pair.a.on_packet_send is pair.a.on_packet_sent
    told: list[tuple[str, int]] = []
    pair.a.on_packet_send.add(lambda *args: told.append(args))
    number = pair.a.send_packet(pair.at_a, b"x")
    pair.run()
    assert told == [(pair.at_a, number)]


def test_connections_are_reported_on_both_sides(pair: Pair) -> None:
    assert pair.a.connected == [pair.at_a]
    assert pair.b.connected == [pair.at_b]
    pair.link_a.close(pair.at_a)
    pair.run()
    assert pair.a.disconnected == [pair.at_a]
    assert pair.b.disconnected == [pair.at_b]


def test_several_callables_are_called_in_the_order_they_were_added(pair: Pair) -> None:
    calls: list[int] = []
    for number in range(3):
        pair.b.on_packet_recv.add(lambda *_, number=number: calls.append(number))
    pair.a.send_packet(pair.at_a, b"x")
    pair.a.send_packet(pair.at_a, b"y")
    pair.run()
    assert calls == [0, 1, 2, 0, 1, 2]


def test_bytes_on_the_wire_are_those_of_1_6(network: MemoryNetwork) -> None:
    plain = network.link("plain")
    link = network.link("a")
    packeter = Packeter(link)
    stream = bytearray()
    plain.on_recv.add(lambda _, data: stream.extend(data))
    conn_id, at_plain = network.connect(link, plain)
    received: list[bytes] = []
    packeter.on_packet_recv.add(lambda _, packet: received.append(packet))
    network.run_until_idle()
    packeter.send_packet(conn_id, b"hello")
    packeter.send_packet(conn_id, b"")
    plain.send(at_plain, bytes.fromhex("00000000 00000003") + b"abc")
    network.run_until_idle()
    assert stream == bytes.fromhex("00000005") + b"hello" + bytes(4)
    assert received == [b"", b"abc"]


@pytest.mark.parametrize("seed", range(20))
def test_any_cut_of_the_stream(seed: int) -> None:
    pair = Pair(MemoryNetwork(seed, capacity=1000, latency=(0.0, 0.1)))
    random = pair.network.random
    packets = [random.randbytes(random.choice((0, 1, 3, 100, 2000))) for _ in range(30)]
    for packet in packets:
        pair.a.send_packet(pair.at_a, packet)
    pair.network.run_until(lambda: len(pair.b.received[pair.at_b]) == len(packets))
    assert pair.b.received[pair.at_b] == packets


def test_byte_by_byte() -> None:
    pair = Pair(MemoryNetwork(send_cut=byte_by_byte, recv_cut=byte_by_byte))
    ids = [pair.a.send_packet(pair.at_a, bytes(size)) for size in (0, 3, 0, 300)]
    pair.run()
    assert [len(packet) for packet in pair.b.received[pair.at_b]] == [0, 3, 0, 300]
    assert pair.a.sent[pair.at_a] == ids


# -- what send_packet takes, says and costs


def test_packet_in_several_parts(pair: Pair) -> None:
    number = pair.a.send_packet(pair.at_a, b"head", b"", b"body", bytes(BLOCK_SIZE), b"tail")
    pair.run()
    assert pair.b.received[pair.at_b] == [b"headbody" + bytes(BLOCK_SIZE) + b"tail"]
    assert pair.a.sent[pair.at_a] == [number]


@pytest.mark.parametrize("wrong", ["text", None, bytearray(b"x"), memoryview(b"x"), 5])
def test_packet_is_bytes_and_a_refused_one_leaves_nothing_behind(pair: Pair, wrong: object) -> None:
    for parts in ((wrong,), (b"head", wrong)):
        with pytest.raises(TypeError, match=type(wrong).__name__):
            pair.a.send_packet(pair.at_a, *parts)
    pair.a.send_packet(pair.at_a, b"right")
    pair.run()
    assert pair.b.received[pair.at_b] == [b"right"]


def test_packet_that_the_format_cannot_hold_is_refused(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snakemq.packeter._packeter.FORMAT_LIMIT", 1000)
    pair.a.send_packet(pair.at_a, bytes(1000))
    for parts in ((bytes(1001),), (bytes(500), bytes(501))):
        with pytest.raises(SnakeMQMessageTooLarge, match="1001 bytes"):
            pair.a.send_packet(pair.at_a, *parts)
    assert issubclass(SnakeMQMessageTooLarge, ValueError)


def test_unknown_connections_raise_no_connection(pair: Pair) -> None:
    pair.link_a.close(pair.at_a)
    for conn_id in (pair.at_a, "unknown"):
        for use in (
            lambda c=conn_id: pair.a.send_packet(c, b"x"),
            lambda c=conn_id: pair.a.flush(c),
            lambda c=conn_id: pair.a.get_unsent_size(c),
            lambda c=conn_id: pair.a.set_max_packet_size(c, 1),
            lambda c=conn_id: pair.a.send_framed(c, [], []),
        ):
            with pytest.raises(NoConnection):
                use()


def test_many_small_packets_go_out_in_one_send(pair: Pair) -> None:
    for _ in range(100):
        pair.a.send_packet(pair.at_a, b"x" * 100)
    pair.run()
    assert sum(event.event == "sent" for event in pair.network.trace) == 1


def test_unsent_size_and_flush(pair: Pair) -> None:
    pair.a.send_packet(pair.at_a, bytes(100))
    assert pair.a.get_unsent_size(pair.at_a) == 104
    pair.a.flush(pair.at_a)
    pair.a.flush(pair.at_a)
    pair.run()
    assert pair.a.get_unsent_size(pair.at_a) == 0
    pair.a.flush(pair.at_a)
    pair.run()
    assert len(pair.b.received[pair.at_b]) == 1


def test_queue_waits_for_a_peer_that_does_not_read(pair: Pair) -> None:
    pair.link_b.pause_reading(pair.at_b)
    ids = [pair.a.send_packet(pair.at_a, bytes(100_000)) for _ in range(10)]
    pair.run()
    assert pair.a.get_unsent_size(pair.at_a) > 500_000
    assert len(pair.a.sent[pair.at_a]) < 10
    pair.link_b.resume_reading(pair.at_b)
    pair.run()
    assert pair.a.sent[pair.at_a] == ids
    assert len(pair.b.received[pair.at_b]) == 10


def test_packets_that_begin_with_their_size_already(pair: Pair) -> None:
    before = pair.a.send_packet(pair.at_a, b"before")
    parts = [struct.pack("!I", 3), b"one", framed(b"three"), framed(b"")]
    first = pair.a.send_framed(pair.at_a, parts, [7, 9, 4])
    after = pair.a.send_packet(pair.at_a, b"after")
    pair.run()
    assert pair.b.received[pair.at_b] == [b"before", b"one", b"three", b"", b"after"]
    assert pair.a.sent[pair.at_a] == [before, first, first + 1, first + 2, after]
    assert after == first + 3


def test_packets_are_delivered_in_the_batches_they_came_in(pair: Pair) -> None:
    received: list[list[Packet]] = []
    sent: list[int] = []
    pair.b.on_packets_recv.add(lambda _, packets: received.append(packets))
    pair.a.on_packets_sent.add(lambda _, number: sent.append(number))
    ids = [pair.a.send_packet(pair.at_a, packet) for packet in (b"1", b"2", b"3")]
    pair.run()
    assert received == [[b"1", b"2", b"3"]]
    assert sent == ids[-1:]


# -- peers that break the rules


def test_limit_has_a_default_and_bounds(network: MemoryNetwork) -> None:
    assert Packeter(network.link("a")).max_packet_size == MAX_PACKET_SIZE
    for wrong in (0, -1, FORMAT_LIMIT + 1):
        with pytest.raises(ValueError, match=str(wrong)):
            Packeter(network.link(f"link {wrong}"), max_packet_size=wrong)


def test_packet_above_the_limit_ends_its_connection_and_no_other(network: MemoryNetwork) -> None:
    pair = Pair(network, max_packet_size=100)
    other_a, other_b = pair.connect()
    pair.a.send_packet(pair.at_a, b"fine")
    pair.a.send_packet(pair.at_a, bytes(101))
    pair.a.send_packet(pair.at_a, b"never")
    pair.a.send_packet(other_a, bytes(100))
    pair.run()
    ((conn_id, error),) = pair.b.errors
    assert conn_id == pair.at_b
    assert isinstance(error, SnakeMQPacketTooLarge)
    assert isinstance(error, SnakeMQException)
    assert pair.b.received == {pair.at_b: [b"fine"], other_b: [bytes(100)]}
    assert pair.b.disconnected == [pair.at_b]
    assert pair.a.disconnected == [pair.at_a]


def test_error_is_reported_before_the_connection_is_closed(network: MemoryNetwork) -> None:
    pair = Pair(network, max_packet_size=10)
    told: list[list[str]] = []
    pair.b.on_error.add(lambda *_: told.append(list(pair.b.disconnected)))
    pair.a.send_packet(pair.at_a, bytes(11))
    pair.run()
    assert told == [[]]


def test_limit_of_a_connection_can_be_raised_by_what_its_first_packet_says(
    network: MemoryNetwork,
) -> None:
    pair = Pair(network, max_packet_size=10)
    pair.b.on_packet_recv.add(lambda conn_id, _: pair.b.set_max_packet_size(conn_id, 1000))
    pair.a.send_packet(pair.at_a, b"let me in")
    pair.a.send_packet(pair.at_a, bytes(1000))
    pair.run()
    assert pair.b.received[pair.at_b] == [b"let me in", bytes(1000)]
    assert not pair.b.errors


def test_packet_for_which_there_is_no_memory_ends_its_connection(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes after it could not be parsed."""

    def out_of_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("snakemq.packeter._connection.PacketReader.receive", out_of_memory)
    pair.a.send_packet(pair.at_a, b"large")
    pair.run()
    assert [type(error) for _, error in pair.b.errors] == [MemoryError]
    assert pair.b.disconnected == [pair.at_b]
    assert not pair.network.errors


# -- a link that refuses to send


def test_refused_send_blocks_neither_its_connection_nor_others(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_a, other_b = pair.connect()
    pair.a.send_packet(pair.at_a, b"refused at first")
    pair.a.send_packet(other_a, b"behind it")
    send = pair.link_a.send

    def refuse(conn_id: str, data: BytesLike) -> None:
        if conn_id == pair.at_a:
            monkeypatch.undo()
            raise NoConnection("a whim")
        send(conn_id, data)

    monkeypatch.setattr(pair.link_a, "send", refuse)
    monkeypatch.setattr(pair.a._sending, "at_once", refuse)
    pair.run()
    assert pair.b.received[other_b] == [b"behind it"]
    assert [conn_id for conn_id, _ in pair.a.errors] == [pair.at_a]
    pair.a.send_packet(pair.at_a, b"and then not")
    pair.run()
    assert pair.b.received[pair.at_b] == [b"refused at first", b"and then not"]


def test_connection_that_somebody_else_sends_on_is_not_confused(pair: Pair) -> None:
    pair.link_a.send(pair.at_a, framed(b"from below"))
    numbers = [pair.a.send_packet(pair.at_a, b"from above")]
    with pytest.raises(SendNotFinished):
        pair.a.flush(pair.at_a)
    numbers.append(pair.a.send_packet(pair.at_a, b"and more"))
    pair.run()
    assert pair.b.received[pair.at_b] == [b"from below", b"from above", b"and more"]
    assert pair.a.sent[pair.at_a] == numbers
