"""Requests and replies of RPC that are plain data, and still not right."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.message import Message
from snakemq.rpc import NoInstanceError, NoMethodError

from .conftest import FRIEND, MakeStranger, Victim
from .stranger import Stranger, message, rpc_request

WRONG: list[dict[str, object]] = [
    {"command": "shutdown"},
    {"command": None},
    {"command": ["call"]},
    {"object": None},
    {"object": 1},
    {"object": b"service"},
    {"object": ["service"]},
    {"method": None},
    {"method": b"echo"},
    {"method": ("echo",)},
    {"args": None},
    {"args": 5},
    {"args": "text"},
    {"args": {}},
    {"kwargs": None},
    {"kwargs": []},
    {"kwargs": "text"},
]

NO_IDS: list[dict[str, object]] = [
    {"req_id": None},
    {"req_id": "text"},
    {"req_id": b""},
    {"req_id": bytes(1_000_000)},
    {"req_id": 10**1000},
    {"req_id": [1]},
]

NO_DICTS: list[object] = [None, True, 1, 1.5, "text", b"bytes", [], (), {1, 2}, ["command", "call"]]


def short(value: object) -> str:
    return repr(value)[:40]


KEYS = ["command", "object", "method", "args", "kwargs"]


def call(stranger: Stranger, **parts: object) -> dict[str, Any]:
    """The reply to a request."""
    stranger.say(message(rpc_request(**parts)))
    return reply_of(stranger)


def reply_of(stranger: Stranger) -> dict[str, Any]:
    data = stranger.hear_until(3)[25:]
    assert data.startswith(b"rpcrep")
    reply: dict[str, Any] = pickle.loads(data[len(b"rpcrep") :])
    return reply


@pytest.mark.parametrize("parts", WRONG, ids=short)
def test_a_request_with_a_part_of_the_wrong_kind(
    victim: Victim, acquaintance: Stranger, parts: dict[str, object]
) -> None:
    reply = call(acquaintance, **parts)
    assert "request refused" in str(reply["exception"])
    assert victim.service.echoed == []
    acquaintance.assert_welcome()


@pytest.mark.parametrize("key", KEYS)
def test_a_request_without_one_of_its_parts(
    victim: Victim, acquaintance: Stranger, key: str
) -> None:
    request = pickle.loads(rpc_request()[len(b"rpcreq") :])
    del request[key]
    acquaintance.say(message(b"rpcreq" + pickle.dumps(request, 4)))
    assert "request refused" in str(reply_of(acquaintance)["exception"])
    acquaintance.assert_welcome()


@pytest.mark.parametrize("parts", NO_IDS, ids=short)
def test_a_request_that_names_no_call(
    victim: Victim, acquaintance: Stranger, parts: dict[str, object]
) -> None:
    acquaintance.say(message(rpc_request(**parts)))
    victim.assert_refused(acquaintance, SnakeMQBrokenMessage, "refused a request of 'stranger'")
    assert victim.service.echoed == []


def test_a_call_without_an_id(victim: Victim, acquaintance: Stranger) -> None:
    request = pickle.loads(rpc_request()[len(b"rpcreq") :])
    del request["req_id"]
    acquaintance.say(message(b"rpcreq" + pickle.dumps(request, 4)))
    victim.assert_refused(acquaintance, SnakeMQBrokenMessage, "refused a request of 'stranger'")


@pytest.mark.parametrize("prefix", [b"rpcreq", b"rpcrep"])
@pytest.mark.parametrize("data", NO_DICTS, ids=short)
def test_a_request_that_is_not_a_dict(
    victim: Victim, acquaintance: Stranger, prefix: bytes, data: object
) -> None:
    acquaintance.say(message(prefix + pickle.dumps(data, 4)))
    victim.assert_refused(acquaintance, SnakeMQBrokenMessage, "is a dict, not a")


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"ok": True, "return": 1},
        {"ok": True, "return": 1, "req_id": "text"},
    ],
    ids=short,
)
def test_a_reply_that_names_no_call(
    victim: Victim, acquaintance: Stranger, reply: dict[str, object]
) -> None:
    acquaintance.say(message(b"rpcrep" + pickle.dumps(reply, 4)))
    victim.assert_refused(acquaintance, SnakeMQBrokenMessage, "a reply with")


@pytest.mark.parametrize(
    "reply",
    [
        {"ok": True, "req_id": bytes(16)},
        {"ok": False, "req_id": bytes(16)},
        {"ok": False, "req_id": bytes(16), "exception": "text"},
        {"ok": "yes", "req_id": bytes(16), "return": 1},
    ],
    ids=short,
)
def test_a_broken_reply_that_nobody_waits_for(
    victim: Victim, acquaintance: Stranger, reply: dict[str, object]
) -> None:
    acquaintance.say(message(b"rpcrep" + pickle.dumps(reply, 4)))
    acquaintance.assert_welcome()
    assert victim.problems == []


@pytest.mark.parametrize(
    "name",
    [
        *("__class__", "__init__", "__reduce__", "__dict__", "__getattribute__"),
        *(
            "_private",
            "_",
            "",
            "echo.__call__",
            "secret",
            "ticking",
            "nothing",
            "ech\0o",
            "x" * 60_000,
        ),
    ],
    ids=lambda name: name[:20],
)
def test_only_public_methods_can_be_called(
    victim: Victim, acquaintance: Stranger, name: str
) -> None:
    reply = call(acquaintance, method=name)
    assert type(reply["exception"]) is NoMethodError
    acquaintance.assert_welcome()
    assert victim.problems == []


@pytest.mark.parametrize("name", ["", "nobody", "__main__", "service.echo", "x" * 60_000])
def test_what_is_not_registered_cannot_be_called(
    victim: Victim, acquaintance: Stranger, name: str
) -> None:
    reply = call(acquaintance, object=name)
    assert type(reply["exception"]) is NoInstanceError
    assert victim.problems == []


@pytest.mark.parametrize(
    "kwargs", [{1: 2}, {None: 1}, {("a",): 1}, {"self": 1}, {"": 1}, {"a b": 1}], ids=short
)
def test_keyword_arguments_that_are_not_names(
    victim: Victim, acquaintance: Stranger, kwargs: dict[Any, object]
) -> None:
    """Either Python takes them or says why not; nothing else happens."""
    reply = call(acquaintance, kwargs=kwargs)
    assert reply["ok"] or isinstance(reply["exception"], TypeError)
    acquaintance.assert_welcome()


def test_unknown_parts_of_a_request_are_ignored(victim: Victim, acquaintance: Stranger) -> None:
    assert call(acquaintance, priority=5)["ok"]


def test_the_same_req_id_is_executed_once(victim: Victim, acquaintance: Stranger) -> None:
    request = message(rpc_request(args=("once",)))
    acquaintance.say(request, request)
    acquaintance.say(request)
    first = reply_of(acquaintance)
    acquaintance.say(request)
    assert reply_of(acquaintance) == first
    acquaintance.assert_welcome()
    assert victim.service.echoed == [(("once",), {})]


def test_the_same_req_id_of_another_peer_is_another_call(
    victim: Victim, make_stranger: MakeStranger
) -> None:
    for name in ("one", "two"):
        stranger = make_stranger()
        stranger.introduce(name)
        assert call(stranger, args=(name,))["return"] == ((name,), {})
    assert len(victim.service.echoed) == 2


@pytest.fixture
def pending(victim: Victim) -> tuple[Callable[[], object], bytes, Event]:
    """A call of the victim that its friend has not answered: its result, its req_id, and what
    makes the friend answer."""
    answer = Event()

    class Slow:
        def wait(self) -> str:
            answer.wait(15)
            return "the friend's answer"

    seen: list[bytes] = []

    def spy(conn_id: str, ident: str, it: Message) -> None:
        if b"wait" in it.data:
            victim.friend.write(seen, pickle.loads(it.data[len(b"rpcreq") :])["req_id"])

    def prepare() -> None:
        victim.friend.messaging.on_message_recv.add(spy)
        victim.friend_server.register_object(Slow(), "slow")

    victim.friend.in_loop(prepare)
    method = victim.client.get_proxy(FRIEND, "slow").wait
    method.set_timeout(60)
    thread = ThreadPoolExecutor(1)
    future = thread.submit(method)
    thread.shutdown(wait=False)
    (req_id,) = victim.friend.until(lambda: seen)
    return future.result, req_id, answer


@pytest.mark.parametrize("ok", [True, False])
def test_nobody_can_answer_a_call_of_somebody_else(
    victim: Victim,
    acquaintance: Stranger,
    pending: tuple[Callable[[], object], bytes, Event],
    ok: bool,
) -> None:
    result, req_id, answer = pending
    forged = {
        "req_id": req_id,
        "ok": ok,
        "return": "forged",
        "exception": ValueError("forged"),
        "exception_format": "",
    }
    acquaintance.say(message(b"rpcrep" + pickle.dumps(forged, 4)))
    acquaintance.assert_welcome()
    answer.set()
    assert result() == "the friend's answer"


def test_calls_that_fail_do_not_use_up_the_threads(victim: Victim, acquaintance: Stranger) -> None:
    for number in range(100):
        reply = call(acquaintance, req_id=number.to_bytes(2, "big"), method="nothing")
        assert not reply["ok"]
    assert call(acquaintance)["ok"]
