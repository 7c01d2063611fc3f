"""Messages between 1.6 and us: what goes in on one side comes out on the other, both ways."""

from __future__ import annotations

import pytest

from snakemq.message import Message

from .conftest import OURS, THEIRS, MakeGenuine, MakeStack, Pair
from .genuine import digest, random_bytes

KIB = 1024
# Around 1.6's blocks (64 KiB sent, 256 KiB received) and ours, with the header's 25 bytes and
# the packet's 4 on either side.
SIZES = [
    0,
    1,
    *(border + off for border in (64 * KIB, 256 * KIB) for off in (-30, -29, -26, -25, -1, 0, 1)),
    1000 * KIB,
    1024 * KIB,
]


def test_messages_of_any_size_arrive_whole_and_in_order_from_us(pair: Pair) -> None:
    for seed, size in enumerate(SIZES):
        pair.ours.send(THEIRS, random_bytes(seed, size))
    pair.theirs.event("received", count=len(SIZES))
    expected = [(size, digest(random_bytes(seed, size))) for seed, size in enumerate(SIZES)]
    assert [(e["size"], e["digest"]) for e in pair.theirs.all("received")] == expected
    pair.assert_undisturbed()


def test_messages_of_any_size_arrive_whole_and_in_order_from_1_6(pair: Pair) -> None:
    pair.theirs.do("send", ident=OURS, sizes=SIZES)
    pair.ours.until(lambda: len(pair.ours.received) == len(SIZES))
    for seed, (size, received) in enumerate(zip(SIZES, pair.ours.received, strict=True)):
        assert received.data == random_bytes(seed, size)
        assert received.ident == THEIRS
    pair.assert_undisturbed()


COUNT = 3000


def test_thousands_of_messages_keep_their_order(pair: Pair) -> None:
    ours = [pair.ours.send(THEIRS, b"x").hex() for _ in range(COUNT)]
    theirs = pair.theirs.do("send", ident=OURS, sizes=[1] * COUNT)
    pair.ours.until(lambda: len(pair.ours.received) == COUNT)
    pair.theirs.event("received", count=COUNT)
    assert [received.uuid.hex() for received in pair.ours.received] == theirs
    assert [event["uuid"] for event in pair.theirs.all("received")] == ours
    pair.ours.until(lambda: len(pair.ours.sent) == COUNT)
    assert [uuid.hex() for uuid in pair.ours.sent] == ours
    pair.theirs.event("sent", count=COUNT)
    pair.assert_undisturbed()


def test_messages_queued_before_the_connection_arrive_in_order(unconnected_pair: Pair) -> None:
    pair = unconnected_pair
    ours = [pair.ours.send(THEIRS, b"early").hex() for _ in range(1000)]
    theirs = pair.theirs.do("send", ident=OURS, sizes=[5] * 1000)
    pair.connect()
    pair.ours.until(lambda: len(pair.ours.received) == 1000)
    pair.theirs.event("received", count=1000)
    assert [received.uuid.hex() for received in pair.ours.received] == theirs
    assert [event["uuid"] for event in pair.theirs.all("received")] == ours
    pair.assert_undisturbed()


@pytest.mark.parametrize(
    ("ttl", "on_the_wire"),
    [(0, 0), (1, 1), (60, 60), (60.9, 60), (0.5, 0), (None, None), (0xFFFFFFFE, 0xFFFFFFFE)],
)
def test_the_ttl_travels_in_whole_seconds(
    pair: Pair, ttl: float | None, on_the_wire: int | None
) -> None:
    pair.ours.send(THEIRS, b"", ttl)
    assert pair.theirs.event("received")["ttl"] == on_the_wire
    pair.theirs.do("send", ident=OURS, sizes=[0], ttl=ttl)
    (received,) = pair.ours.until(lambda: pair.ours.received)
    assert received.ttl == on_the_wire
    pair.assert_undisturbed()


@pytest.mark.parametrize("flags", [0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xA5A5A5A5])
def test_all_32_flags_travel(pair: Pair, flags: int) -> None:
    pair.ours.send(THEIRS, b"", flags=flags)
    assert pair.theirs.event("received")["flags"] == flags
    pair.theirs.do("send", ident=OURS, sizes=[0], flags=flags)
    (received,) = pair.ours.until(lambda: pair.ours.received)
    assert received.flags == flags
    pair.assert_undisturbed()


@pytest.mark.parametrize("uuid", [bytes(range(16)), b"\0" * 15 + b"\1", b"\xff" * 16])
def test_the_uuid_travels_as_it_is(pair: Pair, uuid: bytes) -> None:
    pair.ours.messaging.send_message(THEIRS, Message(b"", 60, uuid=uuid))
    assert pair.theirs.event("received")["uuid"] == uuid.hex()
    pair.theirs.do("send", ident=OURS, sizes=[0], uuid=uuid.hex())
    (received,) = pair.ours.until(lambda: pair.ours.received)
    assert received.uuid == uuid


@pytest.mark.parametrize(
    "ident",
    ["a", "x" * 50, "ž" * 50, "\U0001f40d" * 50, "名前", "punctuation / \"'\\ \0"],
    ids=["one", "50-ascii", "50-two-byte", "50-four-byte", "cjk", "punctuation"],
)
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_idents_of_up_to_50_characters_of_any_kind(
    make_stack: MakeStack, make_genuine: MakeGenuine, ident: str, whose: str
) -> None:
    ours = make_stack(ident if whose == "ours" else OURS)
    theirs = make_genuine(ident if whose == "theirs" else THEIRS)
    ours.dial(theirs.listen())
    ours.until_connected(theirs.ident)
    ours.send(theirs.ident, b"there")
    assert theirs.event("received")["ident"] == ours.ident
    theirs.do("send", ident=ours.ident, sizes=[4])
    (received,) = ours.until(lambda: ours.received)
    assert received.ident == theirs.ident


def test_a_message_with_ttl_0_to_an_absent_1_6_peer_is_dropped(unconnected_pair: Pair) -> None:
    pair = unconnected_pair
    uuid = pair.ours.send(THEIRS, b"now or never", ttl=0)
    pair.ours.until(lambda: pair.ours.dropped == [uuid])
    pair.connect()
    pair.ours.send(THEIRS, b"later", ttl=0)
    assert pair.theirs.event("received")["size"] == len(b"later")
    pair.assert_undisturbed()
