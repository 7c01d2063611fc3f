"""Requests of more than 64 KiB: threads decode them, and not all of them at once."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from rpc_peers import PATIENCE, MakeNode, MakeRawClient, Node, RawClient

from snakemq.rpc import Error, RpcServer, SafePickler, as_signal, inline
from snakemq.rpc._replies._decoding import DECODED_AT_ONCE

LARGE = bytes(DECODED_AT_ONCE + 1)
OTHER_ID = b"fedcba9876543210"


class Parcel:
    """What clients send along; it notes which thread opened it."""

    opened_by: ClassVar[list[threading.Thread]] = []

    def __init__(self, data: bytes) -> None:
        Parcel.opened_by.append(threading.current_thread())
        self.size = len(data)


class Service:
    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.ran_in: list[threading.Thread] = []
        self.go_on = threading.Event()

    def size(self, value: Any, name: object = None) -> int:
        self.begun.append(name)
        self.ran_in.append(threading.current_thread())
        return value.size if isinstance(value, Parcel) else len(value)

    @as_signal
    def note(self, value: Any, name: object) -> None:
        self.size(value, name)

    def block(self, value: Any) -> int:
        assert self.go_on.wait(PATIENCE)
        return self.size(value)

    @inline
    def size_inline(self, value: Any) -> int:
        return self.size(value)


@pytest.fixture
def service() -> Iterator[Service]:
    Parcel.opened_by.clear()
    service = Service()
    yield service
    service.go_on.set()


@pytest.fixture
def node_of_server(node: MakeNode) -> Node:
    return node("server")


@pytest.fixture
def server(node_of_server: Node, service: Service) -> Iterator[RpcServer]:
    pickler = SafePickler()
    pickler.register(Parcel)
    server = RpcServer(node_of_server.hook, pickler)
    server.register_object(service, "object")
    yield server
    server.close()


@pytest.fixture
def client(server: RpcServer, node_of_server: Node, raw_client: MakeRawClient) -> RawClient:
    client = raw_client()
    client.connect(node_of_server)
    return client


class _Made:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return Parcel, (self.data,)


def test_a_large_request_is_decoded_in_the_thread_that_executes_it(
    client: RawClient, service: Service
) -> None:
    assert client.reply_of("size", _Made(LARGE))["return"] == len(LARGE)
    assert Parcel.opened_by == service.ran_in != [threading.current_thread()]


def test_a_small_request_is_decoded_when_it_comes(client: RawClient, service: Service) -> None:
    assert client.reply_of("size", _Made(b"small"))["return"] == 5
    assert Parcel.opened_by == [threading.current_thread()]
    assert service.ran_in != Parcel.opened_by


def test_an_inline_method_runs_in_the_loop_however_large_its_arguments(
    client: RawClient, service: Service
) -> None:
    assert client.reply_of("size_inline", LARGE)["return"] == len(LARGE)
    assert service.ran_in == [threading.current_thread()]


def test_what_a_thread_cannot_decode_ends_its_call_and_no_other(
    client: RawClient, service: Service
) -> None:
    reply = client.reply_of("size", LARGE, _Unknown())
    assert isinstance(reply["exception"], Error)
    assert "request refused" in str(reply["exception"])
    assert client.disconnected == []
    assert client.reply_of("size", b"next", req_id=OTHER_ID)["return"] == 4
    assert len(service.begun) == 1


class _Unknown:
    """Nobody has registered it."""


def test_a_refused_call_may_come_again_and_is_refused_again(client: RawClient) -> None:
    for _ in range(2):
        reply = client.reply_of("size", LARGE, _Unknown())
        assert "request refused" in str(reply["exception"])


def test_a_large_call_that_comes_again_is_not_executed_again(
    client: RawClient, service: Service
) -> None:
    for _ in range(2):
        assert client.reply_of("size", LARGE)["return"] == len(LARGE)
    assert len(service.begun) == 1


@pytest.mark.parametrize(
    "more", [{"method": "block"}, {"object": "other"}, {"req_id": OTHER_ID}, {"command": "signal"}]
)
def test_a_request_that_asks_for_something_else_than_its_front_is_refused(
    client: RawClient, service: Service, more: dict[str, Any]
) -> None:
    """A pickle can set a key twice: the front has the first value, the request the last."""
    request = {"req_id": b"0123456789abcdef", "command": "call", "object": "object"}
    honest = pickle.dumps({**request, "method": "size", "args": (LARGE,), "kwargs": {}}, 4)
    client.send(_with_second_key(honest, *next(iter(more.items()))))
    client.until(lambda: client.replies)
    assert "request refused" in str(client.replies[0]["exception"])
    assert service.begun == []


def _with_second_key(request: bytes, key: str, value: Any) -> bytes:
    def short(item: str | bytes) -> bytes:
        opcode = b"C" if isinstance(item, bytes) else b"\x8c"
        data = item if isinstance(item, bytes) else item.encode()
        return opcode + bytes([len(data)]) + data

    return request[:-1] + short(key) + short(value) + b"s."


def test_a_large_request_without_a_front_is_refused(client: RawClient, service: Service) -> None:
    request = {"args": (LARGE,), "kwargs": {}, "command": "call", "object": "object"}
    client.send(pickle.dumps({**request, "method": "size", "req_id": b"0123456789abcdef"}, 3))
    client.until(lambda: client.replies)
    assert "before the arguments" in str(client.replies[0]["exception"])
    client.send(pickle.dumps({**request, "method": "size"}, 3))
    client.until(lambda: client.disconnected)
    assert service.begun == []


def test_a_large_signal_is_executed(client: RawClient, service: Service) -> None:
    client.signal("note", LARGE, "signal")
    client.until(lambda: service.begun)
    assert service.begun == ["signal"]


def test_a_large_signal_that_cannot_be_decoded_is_logged(
    client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    client.signal("note", LARGE, _Unknown())
    client.until(lambda: "request refused" in caplog.text)
    assert "a signal of 'client'" in caplog.text
    assert client.disconnected == []


def test_no_other_is_decoded_while_running_calls_take_too_much(
    client: RawClient, server: RpcServer, service: Service
) -> None:
    server.max_decoded_bytes = 0
    client.call("block", LARGE)
    client.until(lambda: server._dispatcher.pool.running())
    client.call("size", _Made(LARGE), "large", req_id=OTHER_ID)
    client.until(lambda: len(server._dispatcher.pool.running()) == 2)
    assert client.reply_of("size", b"small", "small", req_id=b"small")["return"] == 5
    assert Parcel.opened_by == []
    service.go_on.set()
    client.until(lambda: len(client.replies) == 3)
    assert len(Parcel.opened_by) == 1


def test_room_is_given_back_also_by_requests_that_cannot_be_decoded(
    client: RawClient, server: RpcServer
) -> None:
    server.max_decoded_bytes = 0
    for _ in range(3):
        client.reply_of("size", LARGE, _Unknown())
        assert client.reply_of("size", _Made(LARGE), req_id=OTHER_ID)["return"] == len(LARGE)
