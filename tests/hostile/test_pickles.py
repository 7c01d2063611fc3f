"""Hostile pickles: nothing of them is executed, and at most they cost the connection."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from snakemq.exceptions import SnakeMQBrokenMessage

from . import pickles
from .conftest import Victim
from .memory import MB, measured
from .pickles import plain
from .stranger import Stranger, message, rpc_request

CALLS = pickles.calls()
HARMFUL = {**CALLS, **pickles.names()}
BOMBS = pickles.bombs()
BROKEN = pickles.broken()


def as_request(part: str) -> Callable[[bytes], bytes]:
    """A call of ``service.echo`` in which that part is the fragment."""
    parts = {
        "command": plain("call"),
        "object": plain("service"),
        "method": plain("echo"),
        "args": b")",
        "kwargs": b"}",
        "req_id": plain(b"0123456789abcdef"),
    }

    def build(fragment: bytes) -> bytes:
        around = {"args": fragment + b"\x85", "kwargs": b"}" + plain("key") + fragment + b"s"}
        items = {**parts, part: around.get(part, fragment)}
        body = b"".join(plain(key) + value for key, value in items.items())
        return b"rpcreq\x80\x04}(" + body + b"u."

    return build


def as_reply(part: str) -> Callable[[bytes], bytes]:
    """A reply in which that part is the fragment."""

    def build(fragment: bytes) -> bytes:
        ok = plain("ok") + plain(part == "return")
        req_id = plain("req_id") + plain(b"0123456789abcdef")
        exception_format = plain("exception_format") + plain("")
        body = ok + req_id + exception_format + plain(part) + fragment
        return b"rpcrep\x80\x04}(" + body + b"u."

    return build


REQUESTS: dict[str, Callable[[bytes], bytes]] = {
    "the request itself": lambda fragment: b"rpcreq\x80\x04" + fragment + b".",
    "an argument": as_request("args"),
    "a keyword argument": as_request("kwargs"),
    "the method": as_request("method"),
    "the req_id": as_request("req_id"),
    "another key": as_request("more"),
}

REPLIES: dict[str, Callable[[bytes], bytes]] = {
    "the reply itself": lambda fragment: b"rpcrep\x80\x04" + fragment + b".",
    "the result": as_reply("return"),
    "the exception": as_reply("exception"),
}


@pytest.fixture(autouse=True)
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test in which anything was executed."""
    monkeypatch.chdir(tmp_path)
    pickles.sprung.clear()
    yield
    assert not (tmp_path / "canary").exists()
    assert pickles.sprung == []


@pytest.mark.parametrize("way", CALLS)
def test_the_traps_work(way: str) -> None:
    """An ordinary unpickler runs into them: otherwise the tests here could not fail."""
    with suppress(Exception):
        pickle.loads(b"\x80\x04" + CALLS[way] + b".")
    assert pickles.sprung or Path("canary").exists()
    Path("canary").unlink(missing_ok=True)
    pickles.sprung.clear()


@pytest.mark.parametrize("way", HARMFUL)
def test_nothing_is_executed_wherever_in_a_request_it_is(
    victim: Victim, make_stranger: Callable[[], Stranger], way: str
) -> None:
    for build in REQUESTS.values():
        stranger = make_stranger()
        stranger.introduce()
        stranger.say(message(build(HARMFUL[way])))
        stranger.say(message(b"rpcreq"))  # this ends the connection, if that one has not done it
        heard = stranger.hear_to_the_end()
        replies = [pickle.loads(data[31:]) for data in heard if data[25:31] == b"rpcrep"]
        assert all("request refused" in str(reply["exception"]) for reply in replies)
        assert type(victim.problems[-1].error) is SnakeMQBrokenMessage
        assert "refused a request of 'stranger'" in str(victim.problems[-1].error)
    assert victim.service.echoed == []


@pytest.mark.parametrize("way", HARMFUL)
def test_nothing_is_executed_wherever_in_a_reply_it_is(
    victim: Victim, make_stranger: Callable[[], Stranger], way: str
) -> None:
    """Nobody waits for these replies. What is not known by name is none of anybody's business."""
    for build in REPLIES.values():
        stranger = make_stranger()
        stranger.introduce()
        stranger.say(message(build(HARMFUL[way])), b"\xc8")
        stranger.say(message(b""))
        victim.until(
            lambda: (
                victim.disconnected.count("stranger") == victim.connected.count("stranger")
                or any(it.data == b"" for it in victim.received)
            )
        )
        victim.received.clear()


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_take_neither_memory_nor_time(
    victim: Victim, acquaintance: Stranger, bomb: str
) -> None:
    data = as_request("args")(BOMBS[bomb])
    with measured() as peak:
        acquaintance.say(message(data))
        acquaintance.say(message(b"rpcreq"))  # whatever became of it, this is refused
        acquaintance.hear_to_the_end()
        victim.assert_serving()
    # An empty dict or a mark is a byte in a pickle, and takes about a hundred in memory.
    assert peak.size < 20 * MB + 150 * len(data)


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_in_replies_take_neither_memory_nor_time(
    victim: Victim, acquaintance: Stranger, bomb: str
) -> None:
    data = as_reply("exception")(BOMBS[bomb])
    with measured() as peak:
        acquaintance.say(message(data))
        acquaintance.say(message(b"rpcreq"))
        acquaintance.hear_to_the_end()
        victim.assert_serving()
    assert peak.size < 20 * MB + 150 * len(data)


@pytest.mark.parametrize("prefix", [b"rpcreq", b"rpcrep"])
@pytest.mark.parametrize("kind", BROKEN)
def test_bytes_that_are_not_a_pickle(
    victim: Victim, acquaintance: Stranger, prefix: bytes, kind: str
) -> None:
    acquaintance.say(message(prefix + BROKEN[kind]))
    victim.assert_refused(acquaintance, SnakeMQBrokenMessage, "re")
    assert victim.service.echoed == []


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_is_harmless_is_understood_in_every_protocol(
    victim: Victim, acquaintance: Stranger, protocol: int
) -> None:
    """The refusals above are for a reason."""
    argument = {"a": [1, 2.5, b"bytes", {3}, frozenset({4}), bytearray(b"x")], "long": 2**100}
    request = pickle.loads(rpc_request(args=(argument,))[len(b"rpcreq") :])
    acquaintance.say(message(b"rpcreq" + pickle.dumps(request, protocol)))
    reply = pickle.loads(acquaintance.hear_until(3)[25 + len(b"rpcrep") :])
    assert reply["return"] == ((argument,), {})
