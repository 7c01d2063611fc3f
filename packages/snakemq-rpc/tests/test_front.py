"""Object and method of a request are read from its front, before its arguments are decoded."""

from __future__ import annotations

import pickle
import pickletools
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemq.rpc import SafePickler, _front
from snakemq.rpc._front import LONGEST_FRONT, Front, is_front_of
from snakemq.rpc._protocol import REQUEST_PREFIX, Request, check_request

REQ_ID = b"0123456789abcdef"
FRONT: Front = ("calculator", "add", False)


def read_front(body: bytes) -> Front | None:
    return _front.read_front(REQUEST_PREFIX + body)


def read_ours(body: bytes) -> Front | None:
    return _front._read_ours(REQUEST_PREFIX + body)


def read_any(body: bytes) -> Front | None:
    return _front._read_any(REQUEST_PREFIX + body)


def ours(**changes: Any) -> dict[str, Any]:
    """A request in the order of our clients."""
    request: dict[str, Any] = {"req_id": REQ_ID, "timeout": 3.0, **of_16()}
    del request["req_id"]
    return {"req_id": REQ_ID, **request, **changes}


def of_16(**changes: Any) -> dict[str, Any]:
    """A request in the order of 1.6, whose clients add the id last."""
    return {
        "command": "call",
        "object": "calculator",
        "method": "add",
        "args": (1, 2),
        "kwargs": {},
        **changes,
    }


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_front_of_every_client_is_read(protocol: int) -> None:
    without_timeout = ours()
    del without_timeout["timeout"]
    for request in (ours(), without_timeout):
        assert read_front(pickle.dumps(request, protocol)) == FRONT
    old = of_16()
    assert read_front(pickle.dumps(old, protocol)) == FRONT
    assert read_front(pickle.dumps(old | {"req_id": REQ_ID}, protocol)) == FRONT
    signal = of_16(command="signal")
    assert read_front(pickle.dumps(signal, protocol)) == ("calculator", "add", True)


@pytest.mark.parametrize("name", ["object", "method", "call", "command", "req_id", "timeout"])
def test_name_that_is_also_a_key_is_read(name: str) -> None:
    """pickle writes the same string only once, and names it again by its place in the memo."""
    request = ours(object=name, method=name)
    body = pickle.dumps(request, 4)
    assert b"h" in body[: body.index(b"args")]
    assert read_front(body) == (name, name, False)


names = st.text(max_size=300) | st.sampled_from(["args", "call", "object", "x" * 255, "x" * 256])


@given(names, names, st.integers(3, 5), st.booleans(), st.booleans(), st.booleans())
def test_front_is_what_the_request_says(
    object_name: str, method: str, protocol: int, is_old: bool, is_signal: bool, is_timed: bool
) -> None:
    request: dict[str, Any] = {} if is_old or is_signal else {"req_id": REQ_ID}
    request |= {"timeout": 1.5} if is_timed else {}
    command = "signal" if is_signal else "call"
    request |= of_16(command=command, object=object_name, method=method)
    request.setdefault("req_id", REQ_ID)
    front = read_front(pickle.dumps(request, protocol))
    assert front == (object_name, method, is_signal)
    assert is_front_of(front, check_request(request))


@given(names, names, st.booleans())
def test_both_ways_to_read_a_front_agree(object_name: str, method: str, is_signal: bool) -> None:
    command = "signal" if is_signal else "call"
    body = pickle.dumps(ours(command=command, object=object_name, method=method), 4)
    assert read_ours(body) in (None, read_any(body))


def test_our_own_requests_take_the_short_way() -> None:
    assert read_ours(SafePickler().dumps(ours())) == FRONT


def test_arguments_are_not_looked_at() -> None:
    body = pickle.dumps(ours(), 4)
    end = body.index(b"args") + len(b"args")
    for rest in (b"", b"\x94", b"\xff" * 100, b"." * 10**6):
        assert read_any(body[:end] + b"\x94" + rest) == FRONT
        assert read_front(body[:end] + b"\x94" + rest) == FRONT


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_truncated_front_is_not_read(protocol: int) -> None:
    body = pickle.dumps(ours(), protocol)
    end = body.index(b"args") + len(b"args")
    for length in range(end + 1):
        assert read_front(body[:length]) is None


@pytest.mark.parametrize("size", [LONGEST_FRONT, 10**6])
def test_long_name_has_no_front(size: int) -> None:
    assert read_front(pickle.dumps(ours(method="x" * size), 4)) is None


@pytest.mark.parametrize(
    "request_",
    [
        {"args": (), **of_16()},
        {"kwargs": {}, **of_16()},
        {"command": "call", "object": "calculator", "args": (), "method": "add", "kwargs": {}},
        {"object": "calculator", "method": "add", "args": (), "kwargs": {}, "command": "call"},
        of_16(command="other"),
        of_16(object=b"calculator"),
        of_16(method=None),
        of_16(method=7),
        {"nested": {}, **of_16()},
        {"nested": ("object",), **of_16()},
        {"pi": 3.14, "b": True, **of_16()},
        {**dict.fromkeys(map(str, range(20)), "x"), **of_16()},
        dict([(7, "x"), *of_16().items()]),
        [("object", "calculator"), ("method", "add")],
        "object",
        None,
    ],
    ids=lambda request_: repr(request_)[:40],
)
def test_request_that_no_client_writes_has_no_front(request_: object) -> None:
    for protocol in range(6):
        assert read_front(pickle.dumps(request_, protocol)) is None


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_request_in_an_old_protocol_has_no_front(protocol: int) -> None:
    assert read_front(pickle.dumps(ours(), protocol)) is None


@given(st.binary(max_size=200))
def test_any_bytes_are_answered(data: bytes) -> None:
    assert read_front(data) is None or len(read_front(data) or ()) == 3


@given(st.data())
def test_changed_bytes_never_show_what_the_pickle_does_not_say(data: st.DataObject) -> None:
    """Whatever front is found: if the request can be decoded, it is either equal or refused."""
    body = bytearray(pickle.dumps(ours(), data.draw(st.sampled_from([3, 4, 5]))))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    front = read_front(bytes(body))
    try:
        request = check_request(SafePickler().loads(bytes(body)))
    except Exception:
        return
    if front is not None and is_front_of(front, request):
        assert front[:2] == (request["object"], request["method"])


# -- attacks: the front says one thing, and the pickle another


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode() + b"\x94"


HEAD = b"\x80\x04}\x94("
CALL = text("command") + text("call")
ALLOWED = text("object") + text("calculator") + text("method") + text("add")
ARGUMENTS = text("args") + b")" + text("kwargs") + b"}\x94"
END = b"u."
REQ = text("req_id") + b"C\x10" + REQ_ID + b"\x94"

ATTACKS = {
    "a second method behind the arguments": (
        HEAD + REQ + CALL + ALLOWED + ARGUMENTS + text("method") + text("reset") + END
    ),
    "a second object behind the arguments": (
        HEAD + REQ + CALL + ALLOWED + ARGUMENTS + text("object") + text("safe") + END
    ),
    "a second batch of items": (
        HEAD + REQ + CALL + ALLOWED + ARGUMENTS + b"u" + text("method") + text("reset") + b"s."
    ),
    "another dict in the place of the first": (
        (HEAD + REQ + CALL + ALLOWED + ARGUMENTS + b"u0")
        + (HEAD[2:] + REQ + CALL + text("object") + text("calculator"))
        + (text("method") + text("reset") + ARGUMENTS + END)
    ),
    "the items thrown away": (
        (HEAD + REQ + CALL + ALLOWED + text("args") + b"1(")
        + (REQ + CALL + text("object") + text("calculator") + text("method") + text("reset"))
        + (ARGUMENTS + END)
    ),
    "the last items popped": (
        (HEAD + REQ + CALL + ALLOWED + text("args") + b"000")
        + (text("method") + text("reset") + ARGUMENTS + END)
    ),
    "a signal that becomes a call": (
        (HEAD + REQ + text("command") + text("signal") + ALLOWED + ARGUMENTS)
        + (text("command") + text("call") + END)
    ),
}


def says(body: bytes) -> Request:
    return check_request(SafePickler().loads(body))


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_request_that_differs_from_its_front_is_told(attack: bytes) -> None:
    front = read_front(attack)
    assert front is not None
    assert front[:2] == ("calculator", "add")
    assert not is_front_of(front, says(attack))


@pytest.mark.parametrize(
    "attack",
    [
        # Two keys of the same name.
        HEAD + REQ + CALL + ALLOWED + text("method") + text("reset") + ARGUMENTS + END,
        # A name that is put elsewhere in the memo, or named from a place that holds another.
        HEAD + REQ + CALL + ALLOWED.replace(text("add"), b"\x8c\x03addq\x00") + ARGUMENTS + END,
        HEAD + REQ + CALL + ALLOWED.replace(text("add"), b"h\xff") + ARGUMENTS + END,
        # A name from opcodes: built, popped, called, or taken from a tuple.
        HEAD + REQ + CALL + ALLOWED.replace(text("add"), text("reset") + b"0" + text("add")) + END,
        HEAD + REQ + CALL + ALLOWED.replace(text("add"), b"(" + text("add") + b"1") + END,
        HEAD + REQ + CALL + ALLOWED.replace(text("add"), b"\x8c\x03add\x94\x942") + END,
        HEAD + REQ + CALL + ALLOWED.replace(text("add"), b"Vadd\n\x94") + ARGUMENTS + END,
        HEAD + REQ + CALL + ALLOWED.replace(text("add"), b"c_codecs\nencode\n") + END,
        # Something before the dict, or a mark or a frame where there is none.
        b"\x80\x04N0}\x94(" + REQ + CALL + ALLOWED + ARGUMENTS + END,
        b"\x80\x04}\x94((" + REQ + CALL + ALLOWED + ARGUMENTS + END,
        HEAD + REQ + b"\x95" + bytes(8) + CALL + ALLOWED + ARGUMENTS + END,
        # Another dict of the same items, that is thrown away.
        b"\x80\x04}\x940}\x94(" + REQ + CALL + ALLOWED + ARGUMENTS + END,
    ],
)
def test_front_in_other_opcodes_is_not_read(attack: bytes) -> None:
    assert read_front(attack) is None


def test_memo_of_the_front_counts_as_that_of_pickle_does() -> None:
    """A peer must not name a string by a place that holds another one for pickle."""
    body = pickle.dumps(ours(object="object", method="object"), 4)
    request = says(body)
    assert (request["object"], request["method"]) == ("object", "object")
    for place in range(20):
        changed = body.replace(b"h\x05", b"h" + bytes([place]), 1)
        front = read_front(changed)
        if front is not None:
            assert is_front_of(front, says(changed))


def test_long_frame_header_is_skipped() -> None:
    body = pickle.dumps(ours(args=("x" * 100_000,)), 4)
    assert body[2] == 0x95
    assert read_front(body) == FRONT
    changed = body[:3] + struct.pack("<Q", 0) + body[11:]
    assert read_front(changed) == FRONT


def test_front_ends_before_the_first_opcode_of_an_argument() -> None:
    body = pickle.dumps(ours(args=(object(),)), 4)
    front_opcodes = [opcode.name for opcode, _, _ in pickletools.genops(body)]
    assert "STACK_GLOBAL" in front_opcodes
    assert read_front(body) == FRONT
