"""The codecs of msgspec, and what is said where it is not installed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_peers import PATIENCE, MakePeer

from snakemq.messaging import Dropped
from snakemq.peer import CannotDecode, Codec, MsgspecJson, MsgspecMsgpack
from snakemq.peer._codecs import Codecs

msgspec = pytest.importorskip("msgspec")

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=20,
)
BOTH = pytest.mark.parametrize("make", [MsgspecJson, MsgspecMsgpack])


@dataclass
class Reading:
    sensor: str
    celsius: float
    taken: datetime


READING = Reading("roof", 21.5, datetime(2026, 11, 29, 12, tzinfo=UTC))


@BOTH
@given(value=VALUES)
def test_values_come_back_as_they_were(make: Any, value: Any) -> None:
    codec = make()
    assert isinstance(codec, Codec)
    codecs = Codecs([codec])
    assert codecs.decode(*codecs.encode(value, codec.name)) == value


@BOTH
def test_objects_come_back_in_their_type(make: Any) -> None:
    codec = make(Reading)
    assert codec.decode(codec.encode(READING)) == READING


@BOTH
def test_data_of_another_type_cannot_be_decoded(make: Any) -> None:
    codecs = Codecs([codec := make(Reading)])
    wrong: list[Any] = [{"sensor": "roof"}, {"sensor": 5, "celsius": 1.0, "taken": "now"}, [], None]
    for value in wrong:
        with pytest.raises(CannotDecode, match="ValidationError"):
            codecs.decode(*codecs.encode(value, codec.name))


@BOTH
def test_deep_data_cannot_be_decoded(make: Any) -> None:
    codecs = Codecs([codec := make()])
    deep = b"[" * 100_000 if make is MsgspecJson else b"\x91" * 100_000
    with pytest.raises(CannotDecode, match="RecursionError"):
        codecs.decode(deep, codec.content_type)


@BOTH
@given(data=st.binary())
def test_nothing_but_cannot_decode_comes_of_hostile_data(make: Any, data: bytes) -> None:
    codecs = Codecs([codec := make()])
    with contextlib.suppress(CannotDecode):
        codecs.decode(data, codec.content_type)


def test_msgpack_has_bytes() -> None:
    codec = MsgspecMsgpack()
    assert codec.decode(codec.encode({"raw": b"\x00\xff"})) == {"raw": b"\x00\xff"}


def test_codec_of_msgspec_decodes_all_json() -> None:
    codecs = Codecs([MsgspecJson(list[int])])
    assert codecs.decode(*codecs.encode([1, 2], "json")) == [1, 2]
    with pytest.raises(CannotDecode):
        codecs.decode(*codecs.encode(["1"], "json"))
    data, _ = codecs.encode([1, 2], "msgspec-json")
    assert json.loads(data) == [1, 2]


def test_type_that_msgspec_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError):
        MsgspecJson(dict[tuple[int, int], int] | dict[str, int])


def test_message_of_the_wrong_type_is_rejected(make_peer: MakePeer) -> None:
    alice = make_peer("alice", codecs=[MsgspecMsgpack()])
    bob = make_peer("bob", codecs=[MsgspecMsgpack(Reading)])
    received: list[Reading] = []
    bob.on_message(lambda message: received.append(message.content))
    alice.connect(bob.listen("tcp://127.0.0.1:0"))
    receipt = alice.send("bob", READING, codec="msgspec-msgpack")
    receipt.wait(PATIENCE)
    with pytest.raises(Dropped):
        alice.send("bob", {"sensor": "roof"}, codec="msgspec-msgpack").wait(PATIENCE)
    assert received == [READING]


WITHOUT_MSGSPEC = """
import sys
import snakemq.peer
assert "msgspec" not in sys.modules
sys.modules["msgspec"] = None
for make in (snakemq.peer.MsgspecJson, snakemq.peer.MsgspecMsgpack):
    try:
        make()
    except ImportError as exc:
        print(exc)
"""


def test_codec_says_what_to_install() -> None:
    command = [sys.executable, "-c", WITHOUT_MSGSPEC]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    advice = "this codec needs the package msgspec: pip install 'snakemq-peer[msgspec]'\n"
    assert printed == 2 * advice
