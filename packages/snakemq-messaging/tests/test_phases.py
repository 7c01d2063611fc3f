"""The life of a connection: whatever comes in whatever order, what the table promises holds."""

from __future__ import annotations

import struct

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from snakemq.exceptions import SnakeMQException
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.messaging._wire import _frames as frames
from snakemq.messaging._wire._conversation import Conversation, Held, Sent
from snakemq.messaging._wire._phases import FRAMES, TABLE, Event, Phase, WrongPhase, decide
from snakemq.packeter import Packeter

DECISIONS = [event for event in Event if event not in FRAMES]

MESSAGE = bytes([frames.FRAME_TYPE_MESSAGE]) + struct.pack("!16sII", bytes(16), 60, 0)
FEATURES = frames.encode_features(frames.Features(1, 7, 10, 10_000, 1 << 20))
SAID = [
    b"",
    frames.encode_version(),
    frames.encode_version(2),
    frames.INCOMPATIBLE_PROTOCOL,
    FEATURES,
    frames.encode_identification("bob"),
    frames.encode_identification("carol"),
    MESSAGE,
    frames.PING,
    frames.PONG,
    frames.encode_ack(1),
    frames.encode_number(1),
    frames.encode_refused(frames.Refusal.OTHER, "no"),
    b"\x63",
]


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", DECISIONS)
def test_a_decision_that_a_phase_does_not_list_is_a_fault(phase: Phase, event: Event) -> None:
    if event in TABLE[phase]:
        decide(phase, event)
    else:
        with pytest.raises(WrongPhase, match=phase.value):
            decide(phase, event)


def test_no_phase_follows_the_end() -> None:
    assert TABLE[Phase.CLOSED] == {}
    for phase in set(Phase) - {Phase.CLOSED}:
        assert decide(phase, Event.END) is Phase.CLOSED


class AnyFrames(RuleBasedStateMachine):
    """One conversation, with any frames and any decisions in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.conversation = Conversation("conn", 0.0)
        self.phases = [Phase.GREETING]

    @rule(frame=st.sampled_from(SAID) | st.binary(max_size=40))
    def say(self, frame: bytes) -> None:
        before = self.conversation.phase
        try:
            said = self.conversation.receive(frame, 0.0)
        except SnakeMQException:
            assert before in (Phase.GREETING, Phase.CONTESTING, Phase.ADMITTED)
            assert self.conversation.phase is before
            return
        assert isinstance(said, Held) == (before is Phase.CONTESTING and frame != frames.PING)
        assert not isinstance(said, Sent) or before is Phase.ADMITTED
        self.note()

    @rule(event=st.sampled_from(DECISIONS))
    def decide(self, event: Event) -> None:
        before = self.conversation.phase
        try:
            self.conversation.happen(event)
        except WrongPhase:
            assert self.conversation.phase is before
        self.note()

    def note(self) -> None:
        if self.conversation.phase is not self.phases[-1]:
            self.phases.append(self.conversation.phase)

    @invariant()
    def no_phase_is_passed_twice(self) -> None:
        assert len(set(self.phases)) == len(self.phases)

    @invariant()
    def is_admitted_only_after_a_check(self) -> None:
        if Phase.ADMITTED in self.phases:
            assert self.phases[self.phases.index(Phase.ADMITTED) - 1] is Phase.CHECKING
            assert self.phases[:3] == [Phase.GREETING, Phase.PROVING, Phase.CLAIMING]


class Strangers(RuleBasedStateMachine):
    """Connections of strangers to a whole stack, which claim two idents."""

    def __init__(self) -> None:
        super().__init__()
        self.network = MemoryNetwork()
        self.link = self.network.link("alice")
        self.messaging = Messaging("alice", "", Packeter(self.link))
        self.alive: dict[str, str] = {}
        self.messaging.on_connect.add(self.connected)
        self.messaging.on_disconnect.add(self.gone)
        self.messaging.on_message_recv.add(self.received)
        self.peers: list[tuple[object, str, list[bytes]]] = []
        self.wrong: list[Exception] = []
        self.messaging.on_error.add(self.failed)

    def connected(self, conn_id: str, ident: str) -> None:
        if ident in self.alive.values():
            self.wrong.append(AssertionError("two owners of one ident"))
        self.alive[conn_id] = ident

    def gone(self, conn_id: str, ident: str) -> None:
        if self.alive.pop(conn_id) != ident:
            self.wrong.append(AssertionError("it had another ident"))

    def received(self, conn_id: str, ident: str, message: Message) -> None:
        if self.alive.get(conn_id) != ident:
            self.wrong.append(AssertionError("a message of a stranger"))

    def failed(self, conn_id: str | None, exc: Exception) -> None:
        if not isinstance(exc, SnakeMQException):
            self.wrong.append(exc)

    @initialize()
    def begin(self) -> None:
        self.connect()

    @rule()
    def connect(self) -> None:
        if len(self.peers) > 4:
            return
        link = self.network.link(f"peer{len(self.peers)}")
        packeter = Packeter(link)
        heard: list[bytes] = []
        packeter.on_packet_recv.add(lambda conn_id, packet: heard.append(packet))
        conn_id, _ = self.network.connect(link, self.link)
        self.peers.append((packeter, conn_id, heard))
        self.network.run_until_idle()

    @rule(number=st.integers(0, 4), said=st.lists(st.sampled_from(SAID), min_size=1, max_size=4))
    def say(self, number: int, said: list[bytes]) -> None:
        packeter, conn_id, _ = self.peers[number % len(self.peers)]
        assert isinstance(packeter, Packeter)
        try:
            for frame in said:
                packeter.send_packet(conn_id, frame)
        except SnakeMQException:
            return  # it is closed
        self.network.run_until_idle()

    @rule(number=st.integers(0, 4), ident=st.sampled_from(["bob", "carol"]), is_old=st.booleans())
    def introduce(self, number: int, ident: str, is_old: bool) -> None:
        introduction = [frames.encode_version(), frames.encode_identification(ident)]
        self.say(number, introduction if is_old else [FEATURES, *introduction])

    @rule(ident=st.sampled_from(["bob", "carol"]), ttl=st.sampled_from([0, 60]))
    def send(self, ident: str, ttl: float) -> None:
        self.messaging.send_message(ident, Message(ident.encode(), ttl))
        self.network.run_until_idle()

    @rule(seconds=st.sampled_from([0.1, 1.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.network.advance(seconds)

    @invariant()
    def nothing_is_a_fault_of_this_side(self) -> None:
        assert self.wrong == []
        assert self.network.errors == []

    @invariant()
    def the_registry_has_those_that_are_connected(self) -> None:
        for ident in ("bob", "carol"):
            assert self.messaging.is_connected(ident) == (ident in self.alive.values())

    @invariant()
    def a_message_went_only_to_its_ident(self) -> None:
        for _, _, heard in self.peers:
            kinds = {frame[25:] for frame in heard if frame[:1] in frames.MESSAGE_BYTES}
            assert len(kinds) <= 1


TestAnyFrames = AnyFrames.TestCase
TestStrangers = Strangers.TestCase
