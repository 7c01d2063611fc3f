"""The packet format: any packets, cut anywhere, and memory that follows what has arrived."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snakemq.exceptions import SnakeMQPacketTooLarge
from snakemq.packeter import Packet
from snakemq.packeter._assembly import SPLIT_FROM
from snakemq.packeter._framing import (
    BLOCK_SIZE,
    FORMAT_LIMIT,
    JOIN_LIMIT,
    PacketReader,
    PacketWriter,
)
from snakemq.packeter._split import SplitPacket, join_split

MEBI = 1024 * 1024
PACKETS = st.lists(st.binary(max_size=40), max_size=12)


def framed(*packets: bytes) -> bytes:
    return b"".join(struct.pack("!I", len(packet)) + packet for packet in packets)


def read_all(reader: PacketReader, *pieces: bytes) -> list[Packet]:
    packets: list[Packet] = []
    for piece in pieces:
        reader.feed(piece)
        while batch := reader.read():
            packets += batch
    return packets


def cut(stream: bytes, places: list[int]) -> Iterator[bytes]:
    bounds = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return (stream[begin:end] for begin, end in pairwise(bounds) if begin < end)


# -- reading


def test_format_is_the_size_in_network_order_and_the_payload() -> None:
    assert read_all(PacketReader(100), b"\0\0\0\x05hello\0\0\0\0\0\0\0\x01!") == [
        b"hello",
        b"",
        b"!",
    ]


@given(PACKETS, st.lists(st.integers(0, 10_000)))
def test_receiving_is_feeding_and_reading(packets: list[bytes], places: list[int]) -> None:
    reader = PacketReader(100)
    found = []
    for piece in cut(framed(*packets), places):
        found += reader.receive(piece)
        assert not reader.has_more
    assert found == packets


def test_only_a_packet_above_the_limit_is_refused() -> None:
    reader = PacketReader(5)
    assert reader.receive(framed(b"12345")) == [b"12345"]
    with pytest.raises(SnakeMQPacketTooLarge):
        reader.receive(framed(b"123456"))


@given(st.lists(st.sampled_from([3, SPLIT_FROM - 1, SPLIT_FROM, SPLIT_FROM + 70_000])), st.data())
@settings(deadline=None)
def test_large_packets_that_arrive_in_pieces_come_out_in_two_parts(
    sizes: list[int], data: st.DataObject
) -> None:
    packets = [bytes([number]) * size for number, size in enumerate(sizes)]
    stream = framed(*packets)
    places = data.draw(st.lists(st.integers(0, len(stream))))
    reader = PacketReader(1_000_000, head_size=29)
    found: list[Packet] = []
    for piece in cut(stream, places):
        found += reader.receive(piece)
    for packet in found:
        if isinstance(packet, SplitPacket):
            assert len(packet.head) == 29
            assert len(packet.whole()) >= SPLIT_FROM
    assert [p if isinstance(p, bytes) else p.whole() for p in found] == packets


def test_large_packet_is_not_split_if_it_comes_at_once_or_has_no_head_size() -> None:
    large = framed(bytes(SPLIT_FROM))
    assert PacketReader(SPLIT_FROM, head_size=29).receive(large) == [bytes(SPLIT_FROM)]
    assert read_all(PacketReader(SPLIT_FROM), large[:9], large[9:]) == [bytes(SPLIT_FROM)]
    split = read_all(PacketReader(SPLIT_FROM, head_size=29), large[:9], large[9:])
    assert split == [SplitPacket(bytes(29), bytes(SPLIT_FROM - 29))]


def test_split_packets_of_a_list_are_joined_and_the_others_left_alone() -> None:
    small, large = b"small", SplitPacket(b"head", b"a body")
    kept = [small, large]
    packets: list[Packet] = [small, SplitPacket(b"", b"body"), large, SplitPacket(b"head", b"")]
    join_split(packets)
    assert packets == [small, b"body", b"heada body", b"head"]
    assert kept == [small, (b"head", b"a body")]  # somebody else holds it, so it did not change


@given(PACKETS, st.lists(st.integers(0, 10_000)))
def test_packets_come_out_as_they_went_in_wherever_the_stream_is_cut(
    packets: list[bytes], places: list[int]
) -> None:
    assert read_all(PacketReader(100), *cut(framed(*packets), places)) == packets


@given(PACKETS)
def test_byte_by_byte(packets: list[bytes]) -> None:
    stream = framed(*packets)
    assert read_all(PacketReader(100), *(bytes([byte]) for byte in stream)) == packets


@given(PACKETS, st.binary(max_size=40), st.integers(1, 43))
def test_a_whole_packet_and_the_beginning_of_the_next(
    packets: list[bytes], incomplete: bytes, missing: int
) -> None:
    tail = framed(incomplete)[: -min(missing, len(incomplete) + 4)]
    reader = PacketReader(100)
    assert read_all(reader, framed(*packets) + tail) == packets
    assert read_all(reader, framed(incomplete)[len(tail) :]) == [incomplete]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=4), st.integers(1, 70_000))
def test_large_packets_in_pieces_of_a_size(sizes: list[int], piece: int) -> None:
    packets = [bytes([number]) * size for number, size in enumerate(sizes)]
    stream = framed(*packets)
    pieces = (stream[begin : begin + piece] for begin in range(0, len(stream), piece))
    assert read_all(PacketReader(200_000), *pieces) == packets


def test_packets_that_arrived_together_come_out_together() -> None:
    reader = PacketReader(100)
    reader.feed(framed(b"1", b"2", b"3"))
    assert reader.read() == [b"1", b"2", b"3"]
    assert reader.read() == []


def test_packets_are_bytes_and_do_not_keep_the_block_they_came_in() -> None:
    (small, _) = read_all(PacketReader(MEBI), framed(b"x" * 10, b"y" * MEBI))
    assert type(small) is bytes
    assert small == b"x" * 10


# -- the limit


@pytest.mark.parametrize("size", [0, 1, 99, 100])
def test_packets_up_to_the_limit_are_taken(size: int) -> None:
    assert read_all(PacketReader(100), framed(bytes(size))) == [bytes(size)]


@pytest.mark.parametrize("size", [101, 2**31, FORMAT_LIMIT])
def test_larger_ones_are_refused_as_soon_as_they_are_announced(size: int) -> None:
    reader = PacketReader(100)
    reader.feed(struct.pack("!I", size))
    with pytest.raises(SnakeMQPacketTooLarge, match=f"{size} bytes .* limit is 100"):
        reader.read()


def test_packets_before_one_that_is_too_large_are_given_out_first() -> None:
    reader = PacketReader(100)
    reader.feed(framed(b"a", b"b", bytes(101), b"never"))
    assert reader.read() == [b"a", b"b"]
    with pytest.raises(SnakeMQPacketTooLarge):
        reader.read()


def test_a_limit_that_is_raised_between_two_packets_counts() -> None:
    """The first packets may introduce a peer, which may send large ones afterwards."""
    reader = PacketReader(10)
    reader.feed(framed(b"a", bytes(50), b"b"))
    assert reader.read() == [b"a"]
    reader.max_size = 100
    assert reader.read() == [bytes(50), b"b"]


def test_limit_does_not_touch_a_packet_that_has_begun() -> None:
    reader = PacketReader(100)
    stream = framed(bytes(100), bytes(11))
    assert read_all(reader, stream[:50]) == []
    reader.max_size = 10
    reader.feed(stream[50:])
    assert reader.read() == [bytes(100)]
    with pytest.raises(SnakeMQPacketTooLarge):
        reader.read()


# -- memory


def test_announcing_a_gibibyte_costs_no_memory() -> None:
    reader = PacketReader(1024 * MEBI)
    tracemalloc.start()
    try:
        assert read_all(reader, struct.pack("!I", 1024 * MEBI), *([b"x" * 100] * 50)) == []
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000


def test_large_packet_is_in_memory_once_while_it_arrives() -> None:
    size = 32 * MEBI
    piece = bytes(64 * 1024)
    reader = PacketReader(size)
    tracemalloc.start()
    try:
        reader.feed(struct.pack("!I", size))
        assert reader.read() == []
        for arrived in range(len(piece), size + 1, len(piece)):
            reader.feed(piece)
            packets = reader.read()
            assert tracemalloc.get_traced_memory()[0] < arrived + min(arrived, 4 * MEBI) + 500_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [len(packet) for packet in packets] == [size]
    assert peak < 1.15 * size


# -- writing


class Sender:
    """Sends what a writer gives out, through a system that takes any part of it."""

    def __init__(self) -> None:
        self.writer = PacketWriter()
        self.stream = b""
        self.sent: list[int] = []

    def send(self, at_most: int) -> bool:
        block = self.writer.next_block()
        assert self.writer.next_block() is block
        if not block:
            return False
        count = min(at_most, len(block))
        self.stream += bytes(block[:count])
        self.sent += self.writer.sent(count)
        return True


@given(
    st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=3), max_size=12),
    st.lists(st.integers(1, 60), min_size=1),
)
def test_stream_is_the_packets_in_order_however_it_is_taken(
    packets: list[list[bytes]], counts: list[int]
) -> None:
    sender = Sender()
    for number, parts in enumerate(packets):
        sender.writer.add_parts(number, parts, sum(map(len, parts)))
    expected = framed(*(b"".join(parts) for parts in packets))
    assert sender.writer.size == len(expected)
    step = 0
    while sender.send(counts[step % len(counts)]):
        step += 1
        assert sender.writer.size == len(expected) - len(sender.stream)
    assert sender.stream == expected
    assert sender.writer.size == 0
    assert sender.sent == [*range(len(packets))]


@given(PACKETS, st.integers(1, 60))
def test_packet_is_reported_when_its_last_byte_is_sent(packets: list[bytes], count: int) -> None:
    sender = Sender()
    for number, packet in enumerate(packets):
        sender.writer.add(number, packet)
    while sender.send(count):
        complete = len(read_all(PacketReader(100), sender.stream))
        assert sender.sent == [*range(complete)]


@given(PACKETS, PACKETS, st.integers(1, 60))
def test_packets_that_begin_with_their_size_already(
    before: list[bytes], packets: list[bytes], count: int
) -> None:
    sender = Sender()
    for number, packet in enumerate(before):
        sender.writer.add(number, packet)
    parts = [part for packet in packets for part in (framed(packet)[:4], packet)]
    sender.writer.add_framed(len(before), parts, [4 + len(packet) for packet in packets])
    total = len(before) + len(packets)
    while sender.send(count):
        pass
    assert sender.stream == framed(*before, *packets)
    assert sender.sent == [*range(total)]
    assert sender.writer.size == 0


def test_small_buffers_are_joined_so_that_they_cost_one_system_call() -> None:
    sender = Sender()
    for number in range(500):
        sender.writer.add(number, b"x" * 100)
    assert sender.send(BLOCK_SIZE)
    assert not sender.send(1)


def test_blocks_are_bounded_and_large_buffers_are_not_copied() -> None:
    writer = PacketWriter()
    large = bytes(4 * BLOCK_SIZE)
    for number in range(5000):
        writer.add(number, b"x" * 1000)
    writer.add_parts(5000, (b"head", large), 4 + len(large))
    writer.add(5001, b"tail")
    copied = False
    while block := writer.next_block():
        if len(block) > BLOCK_SIZE + JOIN_LIMIT:
            assert block is large
            copied = True
        writer.sent(len(block))
    assert copied


def test_nothing_to_send() -> None:
    writer = PacketWriter()
    assert writer.next_block() == b""
    assert writer.size == 0
