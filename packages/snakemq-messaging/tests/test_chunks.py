"""Large messages go in chunks: others pass them, and what has arrived is not sent again."""

from __future__ import annotations

import itertools
import struct

import pytest
from memory_peers import VERSION, MakePeer, MakeRawPeer, Peer, RawPeer, features, identification

from snakemq.exceptions import (
    SnakeMQBrokenMessage,
    SnakeMQFlood,
    SnakeMQPacketTooLarge,
)
from snakemq.link.testing import MemoryNetwork
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging._incoming import _assembly
from snakemq.queues import MemoryQueuesStorage

LARGE = 1_000_000
DATA = b"".join(number.to_bytes(4, "big") for number in range(LARGE // 4))
NUMBER = bytes.fromhex("14 0000000000000001")
"""The frame that says that no more places are told."""

CHUNK, PLACE, HEAD, ABORT, ARRIVED = 21, 22, 26, 27, 28
MIB = 1024 * 1024


def frames_of(raw: RawPeer, kind: int) -> list[bytes]:
    return [frame for frame in raw.frames if frame[0] == kind]


def head(
    size: int, uuid: bytes = b"u" * 16, offset: int = 0, ttl: int = 600, flags: int = 0
) -> bytes:
    return struct.pack("!BII", HEAD, size, offset) + struct.pack("!B16sII", 3, uuid, ttl, flags)


def chunk(offset: int, data: bytes, uuid: bytes = b"u" * 16) -> bytes:
    return struct.pack("!B16sI", CHUNK, uuid, offset) + data


def new_features(
    bits: int = 0x9, window_messages: int = 4096, window_bytes: int = 16 * MIB, epoch: int = 7
) -> bytes:
    return struct.pack("!BHIQIII", 16, 1, bits, epoch, window_messages, window_bytes, 1 << 30)


def join(raw: RawPeer, peer: Peer, *more: bytes, ident: str = "bob") -> str:
    conn_id = raw.connect(peer)
    raw.say(VERSION, new_features(), identification(ident), *more)
    return conn_id


class Wire:
    """Counts the bytes that a peer sends on all of its connections."""

    def __init__(self, peer: Peer) -> None:
        self.sent = 0
        peer.link.on_ready_to_send.add(self._count)

    def _count(self, conn_id: str, count: int) -> None:
        self.sent += count


# -- passing


def test_a_small_message_passes_a_large_one(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    alice.send("bob", DATA)
    alice.send("bob", b"small")
    network.run_until_idle()
    assert bob.heard == [b"small", DATA]


def test_large_messages_take_turns(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.connect(bob)
    for part in (1, 2, 4):
        alice.send("bob", DATA[: LARGE // part])
    network.run_until_idle()
    assert bob.heard == [DATA[: LARGE // part] for part in (4, 2, 1)]


def test_a_large_message_comes_whole_with_ttl_flags_and_headers(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    headers = {"content-type": "x" * 4000}
    sent = Message(DATA, 60, 0x80000000, headers=headers)
    alice.messaging.send_message("bob", sent)
    network.run_until_idle()
    ((_, _, received),) = bob.received
    assert (received.data, received.ttl, received.flags) == (DATA, 60, 0x80000000)
    assert (received.uuid, dict(received.headers)) == (sent.uuid, headers)


def test_up_to_64_kib_a_message_goes_as_it_always_did(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    join(bob, alice, NUMBER)
    alice.send("bob", b"x" * 65_536)
    bob.network.run_until_idle()
    assert bob.heard == [b"x" * 65_536]
    assert frames_of(bob, HEAD) == []


@pytest.mark.parametrize("introduction", [[features(bits=1)], []], ids=["2.0", "1.6"])
def test_an_older_peer_gets_the_whole_message_in_one_frame(
    raw: MakeRawPeer, alice: Peer, introduction: list[bytes]
) -> None:
    bob = raw()
    bob.connect(alice)
    bob.say(VERSION, *introduction, identification("bob"))
    uuid = alice.send("bob", DATA)
    bob.network.run_until_idle()
    assert bob.messages == [b"\x03" + uuid + b"\xff" * 4 + bytes(4) + DATA]
    assert frames_of(bob, HEAD) == frames_of(bob, CHUNK) == []


def test_a_stack_that_does_not_want_it_sends_whole_messages_in_order(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    alice = peer("alice", cut_large_messages=False)
    alice.connect(bob)
    alice.send("bob", DATA)
    alice.send("bob", b"small")
    network.run_until_idle()
    assert bob.heard == [DATA, b"small"]


def test_no_frame_with_a_chunk_is_longer_than_64_kib(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    join(bob, alice, NUMBER)
    uuid = alice.send("bob", DATA, ttl=600)
    bob.network.run_until_idle()
    arrived = 0
    while arrived < LARGE:
        arrived = sum(len(frame) - 21 for frame in frames_of(bob, CHUNK))
        bob.say(struct.pack("!BQ", ARRIVED, arrived))
    assert max(map(len, bob.frames)) == 65_532
    assert frames_of(bob, HEAD) == [head(LARGE, uuid)]
    assert b"".join(frame[21:] for frame in frames_of(bob, CHUNK)) == DATA


def test_only_a_few_chunks_are_on_their_way_at_a_time(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    join(bob, alice, NUMBER)
    alice.send("bob", DATA)
    alice.send("bob", b"small")
    bob.network.run_until_idle()
    assert len(frames_of(bob, CHUNK)) == 2
    assert bob.heard == [b"small"]


def test_a_ping_is_answered_between_chunks(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    at_alice, _ = alice.connect(bob)
    alice.messaging.keepalive_interval = 1.0
    alice.messaging.keepalive_wait = 0.5
    network.stall(at_alice)
    alice.send("bob", DATA)
    network.advance(0.2)
    network.unstall(at_alice)
    network.advance(10)
    assert bob.heard == [DATA]
    assert alice.errors == bob.errors == []


# -- order, window and acks


def test_a_large_message_counts_from_its_last_chunk(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    join(bob, alice, NUMBER)
    delivered: list[bytes] = []
    alice.messaging.on_message_delivered.add(lambda _c, _i, uuid: delivered.append(uuid))
    large = alice.send("bob", DATA[:100_000])
    small = alice.send("bob", b"small")
    bob.network.run_until_idle()
    bob.say(struct.pack("!BQ", 17, 1))
    assert delivered == [small]
    bob.say(struct.pack("!BQ", ARRIVED, 100_000), struct.pack("!BQ", 17, 2))
    assert delivered == [small, large]


def test_a_large_message_is_sent_when_its_last_chunk_is(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    join(bob, alice, NUMBER)
    uuid = alice.send("bob", DATA[:200_000])
    bob.network.run_until_idle()
    assert alice.sent == []
    bob.say(struct.pack("!BQ", ARRIVED, 131_022))
    assert [uuid for _, _, uuid in alice.sent] == [uuid]


def test_the_last_chunk_waits_for_room_in_the_window(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    bob.connect(alice)
    bob.say(VERSION, new_features(window_messages=1), identification("bob"), NUMBER)
    alice.send("bob", DATA[:150_000], ttl=600)
    alice.send("bob", b"small", ttl=600)
    bob.network.run_until_idle()
    bob.say(struct.pack("!BQ", ARRIVED, 131_022))
    assert [len(frame) - 21 for frame in frames_of(bob, CHUNK)] == [65_511, 65_511]
    bob.say(struct.pack("!BQ", 17, 1))
    assert [len(frame) - 21 for frame in frames_of(bob, CHUNK)] == [65_511, 65_511, 18_978]


def test_messages_beside_the_largest_have_a_window_of_bytes(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    bob.connect(alice)
    bob.say(VERSION, new_features(window_bytes=250_000), identification("bob"), NUMBER)
    sizes = [LARGE, 300_000, 150_000, 100_001, 100_000]
    for size in sizes:
        alice.send("bob", DATA[:size])
    arrived = 0
    for _ in range(20):
        bob.say(struct.pack("!BQ", ARRIVED, arrived))
        arrived = sum(len(frame) - 21 for frame in frames_of(bob, CHUNK))
        heads = [struct.unpack_from("!I", frame, 1)[0] for frame in frames_of(bob, HEAD)]
        if 100_001 in heads:
            break
    assert heads[:3] == [LARGE, 150_000, 100_000]


def test_one_message_that_is_sent_twice_is_not_mixed_up(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    for _ in range(2):
        alice.messaging.send_message("bob", Message(DATA, 600, uuid=b"u" * 16))
    network.run_until_idle()
    assert bob.heard == [DATA]
    assert bob.messaging.stats().peers["alice"].duplicates == 1


# -- the end of a ttl


def test_a_message_that_expires_half_sent_is_dropped_and_the_peer_hears_it(
    raw: MakeRawPeer, alice: Peer
) -> None:
    bob = raw()
    join(bob, alice, NUMBER)
    uuid = alice.send("bob", DATA, ttl=5)
    bob.network.advance(5)
    assert alice.dropped == [("bob", uuid)]
    bob.say(struct.pack("!BQ", ARRIVED, 65_511))
    assert frames_of(bob, ABORT) == [bytes([ABORT]) + uuid]
    assert len(frames_of(bob, CHUNK)) == 2


def test_what_has_arrived_of_an_aborted_message_is_forgotten(
    raw: MakeRawPeer, peer: MakePeer
) -> None:
    alice = peer("alice")
    bob = raw()
    join(bob, alice, head(LARGE), chunk(0, bytes(100_000)))
    assert alice.packeter.unfinished_bytes == 100_000
    bob.say(bytes([ABORT]) + b"u" * 16)
    assert alice.packeter.unfinished_bytes == 0
    bob.say(head(5), chunk(0, b"hello"))
    assert alice.heard == [b"hello"]


def test_large_message_with_ttl_0_is_dropped_with_the_connection(
    network: MemoryNetwork, raw: MakeRawPeer, alice: Peer
) -> None:
    bob = raw()
    conn_id = join(bob, alice, NUMBER)
    uuid = alice.send("bob", DATA, ttl=0)
    network.run_until_idle()
    network.disconnect(conn_id)
    network.run_until_idle()
    assert alice.dropped == [("bob", uuid)]


# -- going on


@pytest.mark.parametrize("size", [100_000, 300_000, 900_000])
def test_what_has_arrived_is_not_sent_again(
    network: MemoryNetwork, alice: Peer, bob: Peer, size: int
) -> None:
    wire = Wire(alice)
    at_alice, _ = alice.connect(bob)
    network.reset_after(at_alice, size)
    alice.send("bob", DATA, ttl=600)
    network.run_until_idle()
    assert bob.heard == []
    alice.connect(bob)
    assert bob.heard == [DATA]
    # A chunk may have been cut, and some were under way.
    assert LARGE < wire.sent < LARGE + 4 * 65_536
    assert alice.messaging.stats().peers["bob"].resent == 1


def test_it_goes_on_after_each_of_many_cuts(network: MemoryNetwork, alice: Peer, bob: Peer) -> None:
    alice.send("bob", DATA, ttl=600)
    alice.send("bob", DATA[::-1], ttl=600)
    for _ in itertools.takewhile(lambda _: len(bob.heard) < 2, range(40)):
        at_alice, _at_bob = network.connect(alice.link, bob.link)
        network.reset_after(at_alice, 200_000)
        network.run_until_idle()
    assert sorted(bob.heard) == sorted([DATA, DATA[::-1]])


def test_it_goes_on_when_the_process_of_the_sender_was_killed(
    network: MemoryNetwork, peer: MakePeer, bob: Peer
) -> None:
    storage = MemoryQueuesStorage()
    alice = peer("alice", storage)
    at_alice, _ = alice.connect(bob)
    network.reset_after(at_alice, 600_000)
    alice.send("bob", DATA, 600, FLAG_PERSISTENT)
    network.run_until_idle()
    network.crash(alice.link)
    reborn = peer("alice", MemoryQueuesStorage(storage), name="reborn")
    wire = Wire(reborn)
    reborn.connect(bob)
    network.advance(1)
    assert bob.heard == [DATA]
    assert wire.sent < 500_000


def test_a_whole_message_whose_ack_was_lost_is_not_sent_again(
    network: MemoryNetwork, alice: Peer, peer: MakePeer
) -> None:
    bob = peer("bob", manual_ack=True)
    wire = Wire(alice)
    at_alice, _ = alice.connect(bob)
    alice.send("bob", DATA, ttl=600)
    network.run_until_idle()
    network.disconnect(at_alice)
    network.run_until_idle()
    alice.connect(bob)
    assert bob.heard == [DATA]
    assert wire.sent < LARGE + 65_536
    ((_, _, message),) = bob.received
    bob.messaging.ack(message)
    network.run_until_idle()
    assert alice.messaging.stats().peers["bob"].delivered == 1


def test_places_are_told_before_the_connection_number(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw("bob1")
    conn_id = join(bob, alice, head(LARGE), chunk(0, bytes(1000)))
    bob.network.disconnect(conn_id)
    again = raw("bob2")
    join(again, alice)
    kinds = [frame[0] for frame in again.frames]
    assert kinds[-2:] == [PLACE, 20]
    assert frames_of(again, PLACE) == [struct.pack("!B16sI", PLACE, b"u" * 16, 1000)]
    again.say(head(LARGE, offset=1000), chunk(1000, bytes(LARGE - 1000)))
    assert alice.heard == [bytes(LARGE)]


def test_nothing_is_kept_of_a_message_that_cannot_come_again(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw("bob1")
    conn_id = join(bob, alice, head(LARGE, ttl=0), chunk(0, bytes(1000)))
    bob.network.disconnect(conn_id)
    again = raw("bob2")
    join(again, alice)
    assert frames_of(again, PLACE) == []


def test_a_message_may_be_begun_again_from_its_first_byte(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw("bob1")
    conn_id = join(bob, alice, head(LARGE), chunk(0, bytes(1000)))
    bob.network.disconnect(conn_id)
    join(raw("bob2"), alice, head(5), chunk(0, b"hello"))
    assert alice.heard == [b"hello"]


def test_large_messages_wait_for_the_connection_number(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    join(bob, alice)
    alice.send("bob", DATA)
    alice.send("bob", b"small")
    bob.network.run_until_idle()
    assert bob.heard == [b"small"]
    assert frames_of(bob, HEAD) == []
    bob.say(NUMBER)
    assert len(frames_of(bob, HEAD)) == 1


def test_a_place_beyond_the_end_counts_as_none(raw: MakeRawPeer, alice: Peer) -> None:
    uuid = alice.send("bob", DATA, ttl=600)
    bob = raw()
    join(bob, alice, struct.pack("!B16sI", PLACE, uuid, LARGE + 1), NUMBER)
    assert frames_of(bob, HEAD)[0][5:9] == bytes(4)


# -- progress


def test_both_sides_hear_how_far_a_message_has_come(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    there: list[tuple[int, int]] = []
    here: list[tuple[int, int]] = []
    alice.messaging.on_send_progress.add(lambda *args: there.append((args[3], args[4])))
    bob.messaging.on_recv_progress.add(lambda *args: here.append((args[3], args[4])))
    alice.send("bob", DATA)
    alice.send("bob", b"small")
    network.run_until_idle()
    assert here == there
    assert here == sorted(here)
    assert here[-1] == (LARGE, LARGE)
    assert len(here) >= 8


def test_a_callback_for_progress_may_close_the_connection(
    network: MemoryNetwork, alice: Peer, bob: Peer
) -> None:
    alice.connect(bob)
    alice.messaging.on_send_progress.add(lambda conn_id, *_: alice.link.close(conn_id))
    alice.send("bob", DATA, ttl=600)
    for _ in range(20):
        network.run_until_idle()
        if bob.heard:
            break
        alice.connect(bob)
    assert bob.heard == [DATA]


# -- hostile peers


@pytest.mark.parametrize(
    "said",
    [
        [chunk(0, b"x")],
        [head(10)[:-1]],
        [head(10) + b"x"],
        [head(0)],
        [head(10, offset=11)],
        [head(10, offset=5)],
        [head(10, offset=10)],
        [head(10), head(10)],
        [head(10), chunk(0, b"")],
        [head(10), chunk(0, b"x")[:-2]],
        [head(10), chunk(1, b"x")],
        [head(10), chunk(0, b"x" * 11)],
        [head(10), chunk(0, b"x" * 9), chunk(9, b"xx")],
        [head(10), chunk(0, b"x" * 10), chunk(10, b"x")],
        [head(10), chunk(0, b"x", uuid=b"v" * 16)],
        [head(10)[:9] + b"\x04" + head(10)[10:]],
        [bytes([ABORT]) + b"u" * 16],
        [head(10), bytes([ABORT]) + b"u" * 15],
        [struct.pack("!BQ", ARRIVED, 1)],
        [struct.pack("!BQ", ARRIVED, 0)[:-1]],
        [struct.pack("!B16s", PLACE, b"u" * 16)],
        [NUMBER, struct.pack("!B16sI", PLACE, b"u" * 16, 0)],
        [struct.pack("!B12xII", PLACE, number, 0) for number in range(513)],
    ],
)
def test_a_peer_that_breaks_the_rules_of_chunks_is_disconnected(
    raw: MakeRawPeer, alice: Peer, said: list[bytes]
) -> None:
    bob = raw()
    join(bob, alice, *said)
    assert alice.kinds_of_errors == [SnakeMQBrokenMessage]
    assert not bob.is_connected
    assert alice.packeter.unfinished_bytes == 0


def test_a_message_that_would_be_too_large_is_not_begun(raw: MakeRawPeer, peer: MakePeer) -> None:
    alice = peer("alice", max_packet_size=100_000)
    bob = raw()
    join(bob, alice, head(100_000 - 25))
    assert alice.errors == []
    bob.say(head(100_000 - 24, uuid=b"v" * 16))
    assert alice.kinds_of_errors == [SnakeMQPacketTooLarge]


def test_17_messages_at_once_are_a_flood(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    join(bob, alice, *[head(10, uuid=bytes([number]) * 16) for number in range(16)])
    assert alice.errors == []
    bob.say(head(10))
    assert alice.kinds_of_errors == [SnakeMQFlood]


def test_more_than_a_window_besides_the_largest_is_a_flood(
    raw: MakeRawPeer, peer: MakePeer
) -> None:
    alice = peer("alice", window_bytes=1000)
    bob = raw()
    join(bob, alice, head(MIB), head(1000, uuid=b"v" * 16))
    assert alice.errors == []
    bob.say(head(1, uuid=b"w" * 16))
    assert alice.kinds_of_errors == [SnakeMQFlood]


def test_heads_alone_take_no_memory(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    join(bob, alice, head(1 << 29))
    assert alice.packeter.unfinished_bytes == 0


def test_old_peers_cannot_send_chunks(raw: MakeRawPeer, alice: Peer) -> None:
    bob = raw()
    bob.connect(alice)
    bob.say(VERSION, features(bits=1), identification("bob"), head(10), chunk(0, b"x" * 10))
    bob.say(bytes([ABORT]), bytes([PLACE]), bytes([ARRIVED]))
    assert alice.errors == []
    assert alice.heard == []


def test_a_peer_that_does_not_read_gets_one_notice_of_arrival(
    network: MemoryNetwork, raw: MakeRawPeer, alice: Peer
) -> None:
    bob = raw()
    conn_id = join(bob, alice, head(MIB))
    network.stall(conn_id)
    before = alice.packeter.get_unsent_size(conn_id)
    for offset in range(1000):
        bob.say(chunk(offset, b"x"))
    assert alice.packeter.get_unsent_size(conn_id) - before < 200


def test_absent_peers_leave_no_more_than_the_bound(
    network: MemoryNetwork, raw: MakeRawPeer, peer: MakePeer
) -> None:
    alice = peer("alice", max_unprocessed_bytes=250_000)
    for number in range(5):
        bob = raw(f"raw{number}")
        conn_id = join(bob, alice, head(MIB), chunk(0, bytes(100_000)), ident=f"bob{number}")
        network.disconnect(conn_id)
    kept = []
    for number in range(5):
        bob = raw(f"again{number}")
        join(bob, alice, ident=f"bob{number}")
        kept.append(len(frames_of(bob, PLACE)))
    assert kept == [0, 0, 0, 1, 1]


def test_what_an_absent_peer_has_left_is_forgotten_after_a_while(
    network: MemoryNetwork, raw: MakeRawPeer, alice: Peer
) -> None:
    bob = raw("bob1")
    conn_id = join(bob, alice, head(MIB), chunk(0, bytes(100_000)))
    network.disconnect(conn_id)
    network.advance(400)
    again = raw("bob2")
    join(again, alice)
    assert frames_of(again, PLACE) == []


def test_a_peer_is_not_told_of_more_complete_messages_than_it_may_have(
    network: MemoryNetwork, raw: MakeRawPeer, alice: Peer
) -> None:
    bob = raw("bob1")
    conn_id = join(bob, alice)
    for number in range(_assembly.MAX_COMPLETE + 10):
        uuid = number.to_bytes(16, "big")
        bob.say(head(1, uuid), chunk(0, b"x", uuid))
    network.disconnect(conn_id)
    again = raw("bob2")
    join(again, alice)
    assert len(frames_of(again, PLACE)) == _assembly.MAX_COMPLETE
