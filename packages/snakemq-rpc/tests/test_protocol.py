from __future__ import annotations

import pickle
from typing import Any

import pytest

import snakemq.exceptions
import snakemq.rpc
from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.rpc._protocol import (
    check_reply,
    check_request,
    kills_16,
    text_of,
    text_of_args,
    type_name,
)

CALL = {
    "command": "call",
    "object": "object",
    "method": "method",
    "args": (1,),
    "kwargs": {},
    "req_id": b"0123456789abcdef",
}
RESULT = {"req_id": b"0123456789abcdef", "ok": True, "return": None}
FAILURE = {"req_id": b"0123456789abcdef", "ok": False, "exception": ValueError()}


def without(data: dict[str, Any], key: str) -> dict[str, Any]:
    return {k: v for k, v in data.items() if k != key}


@pytest.mark.parametrize(
    "request_",
    [
        CALL,
        CALL | {"something": "else"},
        CALL | {"req_id": b"1"},
        CALL | {"command": "signal"},
        without(CALL | {"command": "signal"}, "req_id"),
    ],
)
def test_requests_are_taken_as_they_are(request_: dict[str, Any]) -> None:
    assert check_request(request_) is request_


@pytest.mark.parametrize(
    "request_",
    [
        None,
        [],
        b"",
        {},
        *[without(CALL, key) for key in CALL],
        CALL | {"command": "run"},
        CALL | {"command": b"call"},
        CALL | {"command": ["call"]},
        CALL | {"object": 1},
        CALL | {"object": ("a", "b")},
        CALL | {"method": b"method"},
        CALL | {"args": [1]},
        CALL | {"args": None},
        CALL | {"kwargs": None},
        CALL | {"kwargs": ()},
        CALL | {"req_id": "0123456789abcdef"},
        CALL | {"req_id": None},
        CALL | {"req_id": b""},
        CALL | {"req_id": b"x" * 65},
    ],
)
def test_other_requests_break_the_rules(request_: object) -> None:
    with pytest.raises(SnakeMQBrokenMessage):
        check_request(request_)


@pytest.mark.parametrize(
    "reply", [RESULT, FAILURE, FAILURE | {"exception_format": "", "exception_type": "X"}]
)
def test_replies_are_taken_as_they_are(reply: dict[str, Any]) -> None:
    assert check_reply(reply) is reply


@pytest.mark.parametrize(
    "reply",
    [
        None,
        [],
        {},
        *[without(RESULT, key) for key in RESULT],
        *[without(FAILURE, key) for key in FAILURE],
        RESULT | {"ok": 1},
        RESULT | {"ok": None},
        RESULT | {"req_id": 1},
        FAILURE | {"exception": "ValueError"},
        FAILURE | {"exception": ValueError},
    ],
)
def test_other_replies_break_the_rules(reply: object) -> None:
    with pytest.raises(SnakeMQBrokenMessage):
        check_reply(reply)


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_any_exception_has_a_text_of_bounded_length() -> None:
    assert text_of(ValueError("text")) == "text"
    assert text_of(Rude()) == "<no text: RuntimeError>"
    assert len(text_of(ValueError("x" * 1_000_000))) < 20_000


def test_types_are_named_for_the_reader() -> None:
    assert type_name(ValueError()) == "ValueError"
    assert type_name(snakemq.rpc.NoMethodError()) == "snakemq.rpc.NoMethodError"
    assert type_name(Rude()) == f"{__name__}.Rude"


def test_arguments_of_a_peer_make_a_text_of_bounded_length() -> None:
    bomb: list[object] = []
    for _ in range(100):
        bomb = [bomb, bomb]
    assert text_of_args(("text", 1, None, bomb)) == "text, 1, None, list"
    assert len(text_of_args(("x" * 1_000_000,))) < 20_000
    assert text_of_args((10**5000,))  # whose decimal text Python refuses


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_classes_that_1_6_does_not_know_are_found(protocol: int) -> None:
    for new in (
        snakemq.rpc.RemoteError("a", "b"),
        snakemq.exceptions.SnakeMQTimeout(),
        [snakemq.rpc.SafePickler],
        ("text", {"a": snakemq.rpc.UnregisteredClass("x")}),
    ):
        assert kills_16(pickle.dumps(new, protocol))
    for old in (
        snakemq.rpc.NoMethodError("a"),
        snakemq.exceptions.SnakeMQBrokenMessage(),
        "snakemq.rpc.RemoteError",
        ["snakemq.rpc", "RemoteError"],
        Rude,
    ):
        assert not kills_16(pickle.dumps(old, protocol))


def test_what_is_not_a_pickle_names_no_class() -> None:
    assert not kills_16(b'{"module": "snakemq"}')
