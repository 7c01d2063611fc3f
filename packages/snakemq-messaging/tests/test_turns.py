"""Cutting and putting together, without a network: two state machines that talk over a cut line."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from snakemq.exceptions import SnakeMQBrokenMessage, SnakeMQException
from snakemq.message import Message
from snakemq.message._stack import claim
from snakemq.messaging._incoming._assembly import Assembly
from snakemq.messaging._outgoing._pace import MIN_CHUNK, Pace
from snakemq.messaging._outgoing._turns import Turns
from snakemq.messaging._wire import _frames as frames
from snakemq.messaging._wire._cutting import (
    MAX_AT_ONCE,
    Head,
    decode_chunk,
    decode_head,
    decode_place,
    encode_head,
    encode_place,
    pack_chunk_header,
)

WINDOW = 500
CHUNK = 64
LARGEST = 1000


class Line(RuleBasedStateMachine):
    """A sender with several messages, a receiver, and connections that break between any frames."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Message] = []
        self.expected: dict[bytes, bytes] = {}
        self.headers: dict[bytes, bytes] = {}
        self.received: dict[bytes, bytes] = {}
        self.assembly = Assembly(WINDOW)
        self.acked = b""
        self._connect()

    def _connect(self) -> None:
        self.under_way: deque[bytes] = deque()
        places = [encode_place(place) for place, _ in self.assembly.places()]
        self.turns = Turns(WINDOW, dict(map(decode_place, places)), CHUNK)
        self.begun: set[bytes] = set()

    @rule(data=st.binary(min_size=1, max_size=LARGEST), headers=st.binary(max_size=100))
    def queue(self, data: bytes, headers: bytes) -> None:
        message = claim(Message(data, 600), "bob")
        message.queued_size = len(headers) + len(data)
        self.waiting.append(message)
        self.expected[message.uuid] = headers + data
        self.headers[message.uuid] = headers

    @rule()
    def give_turns(self) -> None:
        while True:
            message = self.turns.find(m for m in self.waiting if m.uuid not in self.begun)
            if message is None:
                return
            self.begun.add(message.uuid)
            self.turns.begin(message, self.headers[message.uuid])

    @precondition(lambda self: len(self.turns) > 0)
    @rule(size=st.integers(1, CHUNK))
    def send(self, size: int) -> None:
        turn = self.turns.next()
        uuid = turn.message.uuid
        if not turn.is_begun:
            header = frames.pack_message_header(frames.FRAME_TYPE_MESSAGE, uuid, 600, 0)
            self.under_way.append(encode_head(Head(turn.size, turn.offset, header)))
            turn.is_begun = True
        size = min(size, turn.left)
        if size:
            chunk = b"".join(turn.parts(size))
            self.under_way.append(pack_chunk_header(uuid, turn.offset, size)[4:] + chunk)
            self.turns.chunk_sent(turn, size, 0.0)
        if not turn.left:
            self.turns.leave(turn)

    @precondition(lambda self: self.under_way)
    @rule()
    def arrive(self) -> None:
        frame = self.under_way.popleft()
        if frame[0] == frames.FRAME_TYPE_HEAD:
            head = decode_head(frame)
            if self.assembly.head(head, 2 * LARGEST) is None:
                self._processed(head.uuid)
            return
        message = self.assembly.chunk(*decode_chunk(frame))
        if not message.missing:
            packet = message.packet()
            assert self.received.setdefault(message.uuid, packet.body) == packet.body
            assert packet.head == message.frame
            self._processed(message.uuid)

    def _processed(self, uuid: bytes) -> None:
        """The ack comes with the next step, unless the connection breaks."""
        self.acked = uuid

    @precondition(lambda self: self.acked)
    @rule()
    def ack(self) -> None:
        self.waiting = [message for message in self.waiting if message.uuid != self.acked]
        self.acked = b""

    @rule()
    def confirm(self) -> None:
        self.turns.chunks_arrived(self.assembly.received, 0.0)

    @rule()
    def cut(self) -> None:
        self.assembly.disconnected()
        self.acked = b""
        self._connect()

    @invariant()
    def what_came_is_what_was_sent(self) -> None:
        for uuid, payload in self.received.items():
            assert payload == self.expected[uuid]

    @invariant()
    def memory_is_bounded(self) -> None:
        # Those of the connection, and those of earlier ones.
        assert self.assembly.held <= 2 * (WINDOW + LARGEST + 100)

    def teardown(self) -> None:
        """Without more cuts, everything comes."""
        for _ in range(2):
            while True:
                self.give_turns()
                if not (len(self.turns) or self.under_way):
                    break
                if len(self.turns):
                    self.send(CHUNK)
                while self.under_way:
                    self.arrive()
            self.cut()
        assert self.received == self.expected


TestLine = Line.TestCase
TestLine.settings = settings(max_examples=60, stateful_step_count=40)


@pytest.mark.parametrize("seed", range(5))
def test_hostile_frames_raise_and_hold_no_memory(seed: int) -> None:
    """Whatever a peer says, it gets an error of ours, or its bytes are counted."""
    random = Random(seed)
    for _ in range(300):
        assembly = Assembly(WINDOW)
        arrived = 0
        try:
            for _ in range(random.randint(1, 40)):
                uuid = bytes([random.randint(0, 3)]) * 16
                if random.random() < 0.4:
                    header = frames.pack_message_header(3, uuid, random.choice((0, 600)), 0)
                    size = random.choice((1, 10, LARGEST, 1 << 31))
                    assembly.head(Head(size, random.choice((0, 0, 1, 10)), header), LARGEST)
                elif random.random() < 0.9:
                    data = memoryview(bytes(random.choice((1, 5, 10, 100))))
                    assembly.chunk(uuid, random.choice((0, 1, 5, 10)), data)
                    arrived += len(data)
                elif random.random() < 0.5:
                    assembly.abort(uuid)
                else:
                    assembly.disconnected()
                assert 0 <= assembly.held <= arrived
        except SnakeMQException:
            pass


# -- which message has its turn


def turns(window_bytes: int = WINDOW) -> Turns:
    return Turns(window_bytes, {}, CHUNK)


def message(size: int, uuid: bytes | None = None) -> Message:
    return claim(Message(bytes(size), 600, uuid=uuid), "bob")


def test_no_more_messages_are_begun_than_a_peer_may_have_unfinished() -> None:
    many = turns()
    for _ in range(MAX_AT_ONCE):
        found = many.find([message(1)])
        assert found is not None
        many.begin(found, b"")
    assert many.find([message(1)]) is None


def test_a_message_that_does_not_fit_lets_another_one_pass() -> None:
    some = turns()
    some.begin(message(10_000), b"")
    too_large, fitting = message(WINDOW + 1), message(WINDOW)
    assert some.find([too_large, fitting]) is fitting


def test_a_larger_one_waits_until_the_largest_is_through() -> None:
    some = turns()
    first, second = message(10_000), message(20_000)
    some.begin(first, b"")
    assert some.find([second]) is None
    some.leave(some.next())
    assert some.find([second]) is second


@pytest.mark.parametrize("count", [-1, 65, 1 << 40])
def test_a_count_of_bytes_that_were_not_sent_is_an_error(count: int) -> None:
    some = turns()
    some.begin(message(100), b"")
    some.chunk_sent(some.next(), 64, 0.0)
    with pytest.raises(SnakeMQBrokenMessage):
        some.chunks_arrived(count, 0.0)


# -- how many bytes are on their way

LARGEST_CHUNK = 65_000


class Road:
    """A line with a speed and a length, in front of which bytes queue up."""

    def __init__(self, speed: float, trip: float) -> None:
        self.speed = speed
        self.trip = trip
        self.pace = Pace(LARGEST_CHUNK)
        self.now = self.free_at = 0.0
        self.sent = self.arrived = 0
        self.under_way: deque[tuple[float, float, int]] = deque()

    def drive(self, seconds: float) -> float:
        """Send as much as the pace allows. Returns the bytes a second that arrived."""
        begin, before = self.now, self.arrived
        while self.now < begin + seconds:
            while self.sent - self.arrived < self.pace.window:
                size = self.pace.chunk
                self.sent += size
                self.free_at = max(self.free_at, self.now) + size / self.speed
                self.under_way.append((self.free_at + self.trip, self.now, self.sent))
            self.now, sent_at, self.arrived = self.under_way.popleft()
            self.pace.arrived(self.now, self.now - sent_at, self.arrived, self.sent)
        return (self.arrived - before) / (self.now - begin)

    @property
    def wait(self) -> float:
        """Seconds that a message which is sent now waits for the bytes before it."""
        return max(0.0, self.free_at - self.now)


@pytest.mark.parametrize(
    ("speed", "trip"), [(1e9, 50e-6), (100e6, 1e-3), (12e6, 0.1), (1e6, 0.02), (1e5, 0.05)]
)
def test_a_line_is_busy_and_what_comes_after_waits_for_two_chunks(
    speed: float, trip: float
) -> None:
    road = Road(speed, trip)
    road.drive(100 * max(trip, LARGEST_CHUNK / speed))
    assert road.drive(100 * max(trip, LARGEST_CHUNK / speed)) > 0.8 * speed
    assert road.wait < 3.1 * LARGEST_CHUNK / speed


def test_on_a_slow_line_chunks_are_shorter() -> None:
    road = Road(20_000, 0.05)
    road.drive(120)
    assert road.pace.chunk == MIN_CHUNK
    assert road.wait < 2.1 * MIN_CHUNK / 20_000


def test_a_line_that_becomes_longer_is_measured_anew() -> None:
    road = Road(12e6, 0.001)
    road.drive(5)
    road.trip = 0.2
    road.drive(60)
    assert road.drive(20) > 0.7 * 12e6
