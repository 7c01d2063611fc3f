"""What the caller hears, and what it may conclude from that."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import pickle
from typing import Any
from unittest import mock

import pytest
from rpc_peers import PATIENCE, MakeNode, Node, RawServer, called, result

from snakemq.exceptions import QueueFull, SnakeMQBrokenMessage, StorageError
from snakemq.link.testing import MemoryNetwork
from snakemq.rpc import (
    CallError,
    Error,
    NoInstanceError,
    NoMethodError,
    NotConnected,
    PartialCall,
    RemoteError,
    RpcClient,
    RpcInstProxy,
    RpcServer,
    ServerBusy,
    _salvage,
    inline,
)
from snakemq.rpc._calls import _outcomes
from snakemq.rpc._calls._outcomes import read_reply
from snakemq.rpc._pickling._pickler import SafePickler, loads_inert
from snakemq.rpc._protocol import REPLY_PREFIX
from snakemq.rpc._replies._answers import ReplyWriter

REQ_ID = b"0123456789abcdef"


def written(reply: bytes) -> dict[str, Any]:
    """Decode a reply as a client of 1.6 does."""
    data = pickle.loads(reply[len(REPLY_PREFIX) :])
    assert isinstance(data, dict)
    return data


class Order:
    """Not registered."""


class Fragile:
    def __setstate__(self, state: object) -> None:
        raise SyntaxError("cannot be made here")

    def __getstate__(self) -> object:
        return {"a": 1}


class Exiting:
    def __setstate__(self, state: object) -> None:
        raise SystemExit("cannot be made here")

    def __getstate__(self) -> object:
        return {"a": 1}


class FragileError(Exception):
    def __init__(self, what: str, why: str) -> None:
        super().__init__(what)


class FrozenError(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name} cannot be set")


def spliced(reply: dict[str, Any], opcodes: bytes) -> bytes:
    """The pickle of a reply with these opcodes instead of the text "VALUE"."""
    body = pickle.dumps(reply, 4)
    assert body.count(b"\x8c\x05VALUE") == 1
    return body.replace(b"\x8c\x05VALUE", opcodes)


RESULTS = [
    pytest.param(Order(), id="class"),
    pytest.param({"key": [Order]}, id="class itself"),
    pytest.param(Fragile(), id="constructor"),
    pytest.param(Exiting(), id="constructor that exits"),
    pytest.param(len, id="function"),
    pytest.param(SystemExit(3), id="exit"),
]


@pytest.mark.parametrize("last", [False, True], ids=["id first", "id last"])
@pytest.mark.parametrize("value", RESULTS)
def test_a_result_that_cannot_be_decoded_ends_its_call_alone(
    client_node: Node, server: RawServer, value: object, last: bool
) -> None:
    pickler = SafePickler()
    pickler.register(Fragile)
    pickler.register(Exiting)
    proxy = RpcClient(client_node.hook, pickler).get_proxy("server", "object")
    client_node.connect(server)
    future, other = proxy.method.future(), proxy.method.future()
    client_node.network.run_until_idle()
    first, second = (request["req_id"] for request in server.requests)
    reply = {"ok": True, "return": value}
    server.send(pickle.dumps(reply | {"req_id": first} if last else {"req_id": first} | reply))
    with pytest.raises(RemoteError, match="decoded here"):
        future.result(0)
    server.send(pickle.dumps({"req_id": second, "ok": True, "return": 5}))
    assert other.result(0) == 5
    assert server.disconnected == []
    assert len(server.requests) == 2


@pytest.mark.parametrize("last", [False, True], ids=["id first", "id last"])
@pytest.mark.parametrize("ok", [False, True])
@pytest.mark.parametrize("opcodes", [b"\xff", b"N" + 50_000 * b"\x85"], ids=["broken", "deep"])
def test_a_broken_reply_ends_its_call_alone(
    proxy: RpcInstProxy, server: RawServer, opcodes: bytes, ok: bool, last: bool
) -> None:
    future = called(server, proxy.method)
    req_id = server.requests[0]["req_id"]
    reply = {"ok": True, "return": "VALUE"} if ok else {"ok": False, "exception": "VALUE"}
    reply = reply | {"req_id": req_id} if last else {"req_id": req_id} | reply
    server.send(spliced(reply, opcodes))
    with pytest.raises(RemoteError, match="decoded here"):
        result(future)
    assert server.disconnected == []


@pytest.mark.parametrize(
    "change",
    [{}, {"ok": True}, {"ok": False}, {"ok": 1, "return": 2}, {"ok": False, "exception": "text"}],
    ids=str,
)
def test_a_reply_that_says_too_little_ends_its_call_alone(
    proxy: RpcInstProxy, server: RawServer, change: dict[str, Any]
) -> None:
    future = called(server, proxy.method)
    server.send(pickle.dumps({"req_id": server.requests[0]["req_id"]} | change))
    with pytest.raises(RemoteError, match="a reply with"):
        result(future)
    assert server.disconnected == []


@pytest.mark.parametrize("opcodes", [b"}", b"\xff"], ids=["no exception", "broken"])
def test_a_broken_reply_is_read_twice_at_most(opcodes: bytes) -> None:
    """Each time takes 4 µs for a byte of a hostile one."""
    middle = {"ok": False, "req_id": REQ_ID, "exception": "VALUE", "exception_format": ""}
    body = spliced(middle, opcodes)
    with (
        mock.patch.object(_outcomes, "loads_inert", wraps=loads_inert) as inert,
        mock.patch.object(_salvage, "loads_inert", wraps=loads_inert) as inert_again,
        contextlib.suppress(SnakeMQBrokenMessage),
    ):
        assert read_reply(SafePickler(), body)[0] == REQ_ID
    assert (inert.call_count, inert_again.call_count) == (1, 0)


def test_exceptions_may_be_unusual(client_node: Node, server: RawServer) -> None:
    pickler = SafePickler()
    pickler.register(FragileError)
    pickler.register(FrozenError)
    proxy = RpcClient(client_node.hook, pickler).get_proxy("server", "object")
    client_node.connect(server)
    future = called(server, proxy.method)
    server.fail(FragileError("what", "why"))
    with pytest.raises(RemoteError, match="what"):
        result(future)
    future = called(server, proxy.method)
    server.fail(FrozenError(5), "the traceback")
    error = future.exception(PATIENCE)
    assert isinstance(error, FrozenError)
    assert vars(error)["__remote_traceback__"] == "the traceback"
    future = called(server, proxy.method)
    server.fail(ExceptionGroup("several", [ValueError("one"), KeyError("two")]))
    group = future.exception(PATIENCE)
    assert isinstance(group, ExceptionGroup)
    assert [type(exc) for exc in group.exceptions] == [ValueError, KeyError]


class Raising:
    """Its method raises what the test says."""

    def __init__(self) -> None:
        self.exception: BaseException = ValueError("nothing to raise")
        self.runs = 0

    @inline
    def work(self) -> None:
        self.runs += 1
        raise self.exception


@pytest.fixture
def raising() -> Raising:
    return Raising()


@pytest.fixture
def pair(node: MakeNode, raising: Raising) -> RpcInstProxy:
    """The proxy of an object whose method raises, between two peers of today."""
    server_node, client_node = node("server"), node("client")
    RpcServer(server_node.hook).register_object(raising, "object")
    proxy = RpcClient(client_node.hook).get_proxy("server", "object")
    client_node.connect(server_node)
    return proxy


def error_of(network: MemoryNetwork, proxy: RpcInstProxy) -> BaseException:
    future = proxy.work.future()
    network.run_until_idle()
    error = future.exception(0)
    assert error is not None
    return error


def test_a_busy_server_is_told_apart_from_other_errors(
    proxy: RpcInstProxy, server: RawServer
) -> None:
    future = called(server, proxy.method)
    req_id = server.requests[-1]["req_id"]
    reply = ReplyWriter(SafePickler()).busy(req_id, "busy, come back later")
    server.send(reply.removeprefix(REPLY_PREFIX))
    with pytest.raises(ServerBusy, match="come back later"):
        result(future)


def test_a_busy_server_is_an_error_for_older_clients() -> None:
    exception = written(ReplyWriter(SafePickler()).busy(REQ_ID))["exception"]
    assert type(exception) is Error
    assert "busy" in str(exception)


def test_a_busy_server_behind_the_called_one_is_a_remote_error(
    network: MemoryNetwork, pair: RpcInstProxy, raising: Raising
) -> None:
    raising.exception = ServerBusy("the bank is busy")
    error = error_of(network, pair)
    assert isinstance(error, RemoteError)
    assert error.type_name == "snakemq.rpc.ServerBusy"
    assert error.message == "the bank is busy"


OF_ANOTHER_CALL = [
    NotConnected("the bank"),
    PartialCall("the bank"),
    CallError("the bank"),
    QueueFull("the bank"),
    StorageError("the bank"),
]


@pytest.mark.parametrize("exception", OF_ANOTHER_CALL, ids=lambda exc: type(exc).__name__)
def test_errors_of_calls_that_the_method_made_are_remote_errors(
    network: MemoryNetwork, pair: RpcInstProxy, raising: Raising, exception: Exception
) -> None:
    raising.exception = exception
    error = error_of(network, pair)
    assert isinstance(error, RemoteError)
    assert error.type_name.endswith("." + type(exception).__name__)
    assert error.message == "the bank"
    assert "raise self.exception" in error.__remote_traceback__
    assert raising.runs == 1


@pytest.mark.parametrize("exception", OF_ANOTHER_CALL, ids=lambda exc: type(exc).__name__)
def test_errors_of_other_calls_are_remote_errors_from_older_servers_too(
    proxy: RpcInstProxy, server: RawServer, exception: Exception
) -> None:
    future = called(server, proxy.method)
    server.fail(exception, "the traceback")
    with pytest.raises(RemoteError, match="the bank") as caught:
        result(future)
    assert caught.value.__remote_traceback__ == "the traceback"


@pytest.mark.parametrize("error", [NoInstanceError, NoMethodError])
def test_a_missing_object_of_a_third_peer_is_a_remote_error(
    network: MemoryNetwork, pair: RpcInstProxy, raising: Raising, error: type[Error]
) -> None:
    raising.exception = error("account")
    assert type(error_of(network, pair)) is error  # the object's own word
    vars(raising.exception)["__remote_traceback__"] = "as if it had come from a third peer"
    assert isinstance(error_of(network, pair), RemoteError)


def test_a_remote_error_stays_one_along_a_chain(
    network: MemoryNetwork, pair: RpcInstProxy, raising: Raising
) -> None:
    raising.exception = RemoteError("shop.OutOfStock", "shoe", "at the third peer")
    error = error_of(network, pair)
    assert isinstance(error, RemoteError)
    assert str(error) == "shop.OutOfStock: shoe"


def test_older_clients_get_errors_of_other_calls_by_name() -> None:
    reply = written(ReplyWriter(SafePickler()).failure(REQ_ID, NotConnected("the bank")))
    assert type(reply["exception"]) is Error
    assert "NotConnected: the bank" in str(reply["exception"])
    assert "exception_pickle" not in reply


def test_the_handler_does_not_get_errors_of_other_calls(
    network: MemoryNetwork, proxy: RpcInstProxy, server: RawServer, client: RpcClient
) -> None:
    handled: list[Exception] = []
    client.exception_handler = handled.append
    future = called(server, proxy.method)
    server.fail(NotConnected("the bank"))
    with pytest.raises(RemoteError):
        result(future)
    assert handled == []


# What a method may do.


class Unusual(Exception):
    def __init__(self, trouble: str) -> None:
        super().__init__(trouble)
        self.trouble = trouble

    def __str__(self) -> str:
        if self.trouble == "str":
            raise ValueError("no text")
        return "unusual"

    def __reduce__(self) -> Any:
        if self.trouble == "reduce":
            raise ValueError("no pickle")
        if self.trouble == "reduce later":
            self.trouble = "reduce"
        return super().__reduce__()


def nested(levels: int) -> Any:
    value: Any = None
    for _ in range(levels):
        value = (value,)
    return value


@pytest.mark.parametrize(
    ("exception", "text"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (GeneratorExit(), "GeneratorExit"),
        (asyncio.CancelledError(), "CancelledError"),
        (BaseExceptionGroup("several", [SystemExit(3)]), "several"),
        (Unusual("str"), "no text"),
        (Unusual("reduce"), "unusual"),
        (Unusual("reduce later"), "unusual"),
        (ValueError(nested(100_000)), "ValueError"),
        (ValueError("x" * 1_000_000), "x"),
        (UnicodeError("\ud800"), "\ud800"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_method_raises_its_caller_hears(
    network: MemoryNetwork,
    pair: RpcInstProxy,
    raising: Raising,
    exception: BaseException,
    text: str,
) -> None:
    raising.exception = exception
    error = error_of(network, pair)
    assert isinstance(error, Exception)
    assert text in str(error)


def test_a_huge_traceback_is_cut() -> None:
    try:
        raise ValueError("x" * 1_000_000)
    except ValueError as exc:
        reply = written(ReplyWriter(SafePickler()).failure(REQ_ID, exc))
    assert len(reply["exception_format"]) < 110_000
    assert reply["exception_format"].startswith("Traceback")


class Results:
    @inline
    def coroutine(self) -> object:
        async def work() -> None:
            pass

        return work()

    @inline
    async def async_method(self) -> None:
        pass

    @inline
    def generator(self) -> object:
        return (n for n in range(3))

    @inline
    def function(self) -> object:
        return lambda: 5

    @inline
    def file(self) -> object:
        return io.TextIOWrapper(io.BytesIO())

    @inline
    def unregistered(self) -> object:
        return [Order()]

    @inline
    def deep(self) -> object:
        return nested(400_000)


@pytest.mark.parametrize("name", [name for name in vars(Results) if not name.startswith("_")])
def test_a_result_that_cannot_be_sent_is_an_error_of_its_call(
    node: MakeNode, network: MemoryNetwork, name: str
) -> None:
    server_node, client_node = node("server"), node("client")
    RpcServer(server_node.hook).register_object(Results(), "results")
    proxy = RpcClient(client_node.hook).get_proxy("server", "results")
    client_node.connect(server_node)
    future = getattr(proxy, name).future()
    network.run_until_idle()
    assert isinstance(future.exception(0), Error)
    gc.collect()  # a coroutine that is left warns, which is an error here
    assert client_node.disconnected == []


@pytest.mark.parametrize(
    "value",
    [10**5000, {float("nan"): 1}, nested(400), "\ud800", -0.0],
    ids=["int", "nan", "deep", "surrogate", "zero"],
)
def test_a_result_that_is_only_unusual_arrives(
    proxy: RpcInstProxy, server: RawServer, value: object
) -> None:
    future = called(server, proxy.method)
    body = ReplyWriter(SafePickler()).result(server.requests[0]["req_id"], value)
    server.send(body.removeprefix(REPLY_PREFIX))
    assert pickle.dumps(result(future)) == pickle.dumps(value)
