"""Anything at all, cut anywhere: nothing but exceptions of snakeMQ, and only by ``on_error``."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from contextlib import chdir

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snakemq.exceptions import SnakeMQException
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message

from . import pickles
from .in_memory import Attacker, MemoryStack, assert_serving, quiet_log
from .stranger import (
    INCOMPATIBLE,
    PING,
    PONG,
    VERSION,
    ack,
    features,
    identification,
    message,
    packet,
    rpc_request,
)

quiet = pytest.fixture(autouse=True, scope="module")(quiet_log)

REPLY = b"rpcrep" + pickle.dumps({"req_id": b"0123456789abcdef", "ok": True, "return": 1}, 4)
REQUESTS = [rpc_request(), rpc_request(command="signal"), rpc_request(method="__class__"), REPLY]

uuids = st.binary(min_size=16, max_size=16) | st.sampled_from([bytes(16), b"\1" * 16])
uint32 = st.sampled_from([0, 1, 60, 0xFFFFFFFE, 0xFFFFFFFF]) | st.integers(0, 0xFFFFFFFF)
opcodes = st.lists(
    st.sampled_from([*pickles.calls().values(), *pickles.names().values()])
    | st.sampled_from([b")", b"}", b"]", b"(", b"u", b"s", b"a", b"t", b"R", b"b", b"0", b"q\0"])
    | st.binary(max_size=8),
    max_size=12,
).map(b"".join)

good_frames = st.one_of(
    st.sampled_from([VERSION, PING, PONG, features(), features(bits=0)]),
    st.sampled_from(["attacker", "", "ž" * 50, "friend", "victim"]).map(identification),
    st.builds(message, st.binary(max_size=100), uuid=uuids, ttl=uint32, flags=uint32),
    st.builds(message, st.sampled_from(REQUESTS), uuid=uuids, ttl=uint32, flags=uint32),
    st.integers(0, 5).map(ack),
)

bad_frames = st.one_of(
    st.just(INCOMPATIBLE),
    st.binary(max_size=60),
    st.builds(lambda kind, rest: bytes([kind]) + rest, st.integers(0, 20), st.binary(max_size=40)),
    st.text(max_size=60).map(lambda ident: identification(ident)),
    st.integers(0, 2**64 - 1).map(ack),
    st.builds(
        features,
        bits=uint32,
        window_messages=uint32,
        window_bytes=uint32,
        max_packet_size=uint32,
    ),
    st.sampled_from([b"rpcreq", b"rpcrep"]).flatmap(
        lambda prefix: opcodes.map(lambda ops: message(prefix + b"\x80\x04" + ops + b"."))
    ),
)


@st.composite
def mutated(draw: st.DrawFn, frames: st.SearchStrategy[bytes]) -> bytes:
    """A frame of which some bytes are changed, lost or doubled."""
    frame = bytearray(draw(frames))
    for _ in range(draw(st.integers(1, 4))):
        position = draw(st.integers(0, len(frame)))
        frame[position : position + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(frame)


frames = good_frames | bad_frames | mutated(good_frames)
introductions = st.sampled_from([[], [VERSION], [VERSION, identification("attacker")]]) | st.just(
    [VERSION, features(), identification("attacker")]
)

conversations = st.builds(
    lambda introduction, rest: b"".join(map(packet, [*introduction, *rest])),
    introductions,
    st.lists(frames, max_size=8),
)

streams = st.one_of(
    conversations,
    mutated(conversations),
    st.binary(max_size=300),
    st.builds(
        lambda said, size, rest: said + struct.pack("!I", size) + rest,
        conversations,
        uint32,
        st.binary(max_size=50),
    ),
)


class Field:
    """A victim, and a peer that it has messages for: the attacker may claim to be it."""

    def __init__(self, seed: int) -> None:
        self.network = MemoryNetwork(seed=seed)
        self.victim = MemoryStack(self.network, "victim")
        for ident in ("attacker", "friend", ""):
            for ttl in (None, 5):
                self.victim.messaging.send_message(ident, Message(b"for you", ttl))

    def verify(self) -> None:
        assert self.network.errors == []
        assert self.victim.link.errors == []
        for error in self.victim.errors:
            assert isinstance(error, SnakeMQException), repr(error)
            assert str(error)
        assert_serving(self.network, self.victim)
        assert pickles.sprung == []


@pytest.fixture(autouse=True, scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("canary")
    pickles.sprung.clear()
    with chdir(folder):
        yield
    assert not (folder / "canary").exists()


many = settings(max_examples=1000, deadline=None)
some = settings(max_examples=200, deadline=None)


@many
@given(seed=st.integers(0, 2**32), stream=streams)
def test_any_bytes_cut_anywhere(seed: int, stream: bytes) -> None:
    field = Field(seed)
    attacker = Attacker(field.network, field.victim)
    attacker.send(stream)
    field.network.advance(20)  # deadlines pass, what can expire does
    field.verify()


@some
@given(
    seed=st.integers(0, 2**32),
    said=st.lists(st.tuples(st.integers(0, 2), streams, st.booleans()), max_size=6),
)
def test_several_attackers_at_once_that_come_and_go(
    seed: int, said: list[tuple[int, bytes, bool]]
) -> None:
    field = Field(seed)
    attackers: dict[int, Attacker] = {}
    for who, stream, goes in said:
        if who not in attackers:
            attackers[who] = Attacker(field.network, field.victim, f"attacker {who}")
        attackers[who].send(stream)
        if goes:
            field.network.crash(attackers.pop(who).link)
            field.network.run_until_idle()
        field.network.advance(0.2)
    field.network.advance(20)
    field.verify()


@some
@given(seed=st.integers(0, 2**32), stream=conversations, size=st.integers(0, 400))
def test_a_connection_that_breaks_anywhere(seed: int, stream: bytes, size: int) -> None:
    field = Field(seed)
    attacker = Attacker(field.network, field.victim)
    if not attacker.closed:
        field.network.reset_after(attacker.conn_id, size)
        attacker.send(stream)
    field.network.advance(20)
    field.verify()
