from __future__ import annotations

import logging
import pickle
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from rpc_peers import PATIENCE, MakeNode, MakeRawClient, Node, RawClient

from snakemq.exceptions import SnakeMQTimeout
from snakemq.link.testing import MemoryNetwork
from snakemq.rpc import (
    Error,
    NoInstanceError,
    NoMethodError,
    RpcServer,
    SafePickler,
    SignalCallWarning,
    as_signal,
    inline,
)


class NotAnywhereElse(Exception):
    pass


class Demanding(Exception):
    """Can be pickled, but not unpickled."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} {b}")


class Service:
    """What the servers of these tests offer."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.threads: list[threading.Thread] = []
        self.came = threading.Event()
        self.go_on = threading.Event()
        self._secret = "secret"

    def note(self, *args: Any) -> None:
        self.calls.append(args)
        self.threads.append(threading.current_thread())
        self.came.set()

    def echo(self, *args: Any, **kwargs: Any) -> Any:
        self.note(args)
        return args, kwargs

    @inline
    def echo_inline(self, *args: Any) -> Any:
        self.note(args)
        return args

    def block(self) -> str:
        self.note()
        assert self.go_on.wait(PATIENCE)
        return "went on"

    def fail(self, name: str = "") -> None:
        self.note()
        if name == "local":

            class Local(Exception):
                pass

            raise Local("hello")
        raise {
            "": ValueError("a value", 5),
            "own": NotAnywhereElse("hello"),
            "demanding": Demanding(1, 2),
            "lock": ValueError(threading.Lock()),
            "exit": SystemExit("bye"),
            "new": SnakeMQTimeout("late"),
            "holds new": ValueError(SnakeMQTimeout("late")),
        }[name]

    @inline
    def interrupt(self) -> None:
        raise KeyboardInterrupt

    @as_signal
    def signal(self, *args: Any) -> str:
        self.note(*args)
        return "from a signal"

    @as_signal
    def failing_signal(self) -> None:
        self.note()
        raise ValueError("in a signal")

    @as_signal
    def blocking_signal(self) -> None:
        self.block()

    def unpicklable(self) -> object:
        return threading.Lock()

    def new_class(self) -> object:
        return SnakeMQTimeout("late")

    def big(self, size: int) -> bytes:
        self.note(size)
        return b"x" * size


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.go_on.set()


@pytest.fixture
def client(raw_client: MakeRawClient) -> RawClient:
    return raw_client()


@pytest.fixture
def start(node: MakeNode, service: Service, client: RawClient) -> Iterator[Any]:
    servers: list[RpcServer] = []

    def start(**options: Any) -> RpcServer:
        server_node = node("server")
        server = RpcServer(server_node.hook, **options)
        server.register_object(service, "object")
        servers.append(server)
        client.connect(server_node)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def server(start: Any) -> RpcServer:
    server: RpcServer = start()
    return server


REQ_ID = b"0123456789abcdef"


def test_a_call_gets_the_result_in_the_format_of_1_6(server: RpcServer, client: RawClient) -> None:
    reply = client.reply_of("echo", 1, "x", kwargs={"key": [None]})
    assert reply == {"ok": True, "return": ((1, "x"), {"key": [None]}), "req_id": REQ_ID}


def test_methods_run_in_worker_threads(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    client.reply_of("echo")
    assert service.threads[0] is not threading.current_thread()


def test_inline_methods_run_in_the_loop(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    assert client.reply_of("echo_inline", 1)["return"] == (1,)
    assert service.threads == [threading.current_thread()]


def test_without_threads_every_method_runs_in_the_loop(
    start: Any, client: RawClient, service: Service
) -> None:
    start(threads=0)
    client.call("echo")
    client.network.run_until_idle()
    assert client.replies[0]["ok"]
    assert service.threads == [threading.current_thread()]


def test_a_slow_method_does_not_hold_up_others(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    client.call("block", req_id=b"slow")
    client.until(service.came.is_set)
    client.call("echo", req_id=b"fast")
    client.until(lambda: client.replies)
    assert client.replies[0]["req_id"] == b"fast"
    service.go_on.set()
    client.until(lambda: len(client.replies) == 2)
    assert client.replies[1] == {"ok": True, "return": "went on", "req_id": b"slow"}


def test_a_signal_of_1_6_is_executed_and_not_answered(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    client.signal("signal", 1, 2)
    client.until(lambda: service.calls)
    assert service.calls == [(1, 2)]
    assert client.reply_of("echo")["req_id"] == REQ_ID
    assert len(client.replies) == 1


def test_a_failing_signal_is_logged_and_not_answered(
    server: RpcServer, client: RawClient, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    client.signal("failing_signal")
    client.until(lambda: "in a signal" in caplog.text)
    client.signal("absent")
    client.until(lambda: "NoMethodError" in caplog.text)
    assert client.reply_of("echo")["ok"]
    assert len(client.replies) == 1


def test_call_kinds_are_not_combined_silently(
    start: Any, client: RawClient, service: Service
) -> None:
    start(threads=0)
    client.call("signal")
    with pytest.warns(SignalCallWarning, match="signal"):
        client.network.run_until_idle()
    assert client.replies[0]["return"] == "from a signal"  # as 1.6 does
    client.signal("echo")
    with pytest.warns(SignalCallWarning, match="echo"):
        client.network.run_until_idle()
    assert service.calls[-1] == ((),)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert type(client.reply_of("signal", req_id=b"2")["exception"]) is SignalCallWarning


# What can be called.


def test_unknown_objects_and_methods_are_told_so(server: RpcServer, client: RawClient) -> None:
    reply = client.reply_of("echo", object="absent")
    assert type(reply["exception"]) is NoInstanceError
    assert reply["exception"].args == ("absent",)
    for name in ("absent", "__class__", "_secret", "calls", "__init__"):
        reply = client.reply_of(name, req_id=name.encode())
        assert type(reply["exception"]) is NoMethodError
        assert reply["exception"].args == (name,)
        assert NoMethodError.__module__ == "snakemq.rpc"  # the name that 1.6 decodes


def test_only_the_listed_methods_of_an_object_can_be_called(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    server.register_object(service, "restricted", ["echo"])
    assert client.reply_of("echo", object="restricted", req_id=b"1")["ok"]
    reply = client.reply_of("echo_inline", object="restricted", req_id=b"2")
    assert type(reply["exception"]) is NoMethodError


def test_objects_come_and_go(server: RpcServer, client: RawClient, service: Service) -> None:
    assert server.get_registered_objects() == {"object": service}
    server.unregister_object("object")
    assert server.get_registered_objects() == {}
    assert type(client.reply_of("echo")["exception"]) is NoInstanceError
    with pytest.raises(KeyError):
        server.unregister_object("object")
    with pytest.raises(TypeError):
        server.register_object(service, b"bytes")  # type: ignore[arg-type]


# Exceptions.


def test_an_exception_travels_with_its_traceback(server: RpcServer, client: RawClient) -> None:
    reply = client.reply_of("fail")
    assert set(reply) >= {"req_id", "ok", "exception", "exception_format"}
    assert reply["ok"] is False
    assert repr(reply["exception"]) == "ValueError('a value', 5)"
    assert "in fail" in reply["exception_format"]
    assert reply["exception_type"] == "ValueError"
    assert reply["exception_message"] == "('a value', 5)"


def test_a_registered_exception_travels_as_it_is(start: Any, client: RawClient) -> None:
    pickler = SafePickler()
    pickler.register(NotAnywhereElse)
    start(pickler=pickler)
    assert type(client.reply_of("fail", "own")["exception"]) is NotAnywhereElse


def test_a_trusting_server_sends_every_exception_as_it_is(start: Any, client: RawClient) -> None:
    start(pickler=pickle)
    assert type(client.reply_of("fail", "own")["exception"]) is NotAnywhereElse
    for name in ("demanding", "exit", "new"):
        assert type(client.reply_of("fail", name, req_id=name.encode())["exception"]) is Error


@pytest.mark.parametrize("name", ["own", "new"])
def test_an_unregistered_exception_travels_beside_an_error_for_1_6(
    server: RpcServer, client: RawClient, name: str
) -> None:
    reply = client.reply_of("fail", name)
    assert type(reply["exception"]) is Error
    exc = pickle.loads(reply["exception_pickle"])
    assert type(exc) in (NotAnywhereElse, SnakeMQTimeout)


@pytest.mark.parametrize(
    ("name", "type_name", "message"),
    [
        ("own", f"{__name__}.NotAnywhereElse", "hello"),
        ("local", f"{__name__}.Service.fail.<locals>.Local", "hello"),
        ("demanding", f"{__name__}.Demanding", "1 2"),
        ("lock", "ValueError", None),
        ("exit", "SystemExit", "bye"),
        ("new", "snakemq.exceptions.SnakeMQTimeout", "late"),
        ("holds new", "ValueError", None),
    ],
)
def test_an_exception_that_would_kill_a_1_6_client_travels_as_an_error(
    server: RpcServer, client: RawClient, name: str, type_name: str, message: str | None
) -> None:
    reply = client.reply_of("fail", name)
    assert type(reply["exception"]) is Error
    assert str(reply["exception"]).startswith(type_name)
    assert reply["exception_type"] == type_name
    if message is not None:
        assert str(reply["exception"]) == f"{type_name}: {message}"
        assert reply["exception_message"] == message
    assert "in fail" in reply["exception_format"]


def test_a_method_that_exits_does_not_take_its_thread_along(
    start: Any, client: RawClient, service: Service
) -> None:
    start(threads=1)
    client.reply_of("fail", "exit", req_id=b"1")
    assert client.reply_of("echo", req_id=b"2")["ok"]
    assert service.threads[0] is service.threads[1]


def test_an_interrupt_during_an_inline_method_reaches_the_loop(
    server: RpcServer, client: RawClient
) -> None:
    client.call("interrupt")
    with pytest.raises(KeyboardInterrupt):
        client.network.run_until_idle()
    client.network.run_until_idle()
    assert client.replies[0]["exception_type"] == "KeyboardInterrupt"  # its caller hears
    assert client.disconnected == []


def test_a_result_that_cannot_travel_is_an_error(server: RpcServer, client: RawClient) -> None:
    for name in ("unpicklable", "new_class"):
        reply = client.reply_of(name, req_id=name.encode())
        assert type(reply["exception"]) is Error
        assert "result" in str(reply["exception"])


def test_wrong_arguments_are_the_callers_error(server: RpcServer, client: RawClient) -> None:
    reply = client.reply_of("block", 1, 2, 3)
    assert type(reply["exception"]) is TypeError
    reply = client.reply_of("echo", kwargs={1: 2}, req_id=b"2")
    assert type(reply["exception"]) is TypeError


def test_exceptions_are_kept_private_if_so_wished(
    server: RpcServer, client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    server.transfer_exceptions = False
    reply = client.reply_of("fail")
    assert repr(reply["exception"]) == "Error('remote call failed')"
    assert reply["exception_format"] == ""
    assert "a value" not in str(reply)
    assert "a value" in caplog.text
    assert str(client.reply_of("absent", req_id=b"2")["exception"]) == "remote call failed"


# Requests that are repeated.


def test_a_repeated_request_gets_the_first_reply_and_is_not_executed_again(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    first = client.reply_of("echo", 1)
    assert client.reply_of("echo", 2) == first
    assert len(service.calls) == 1


def test_a_request_that_is_repeated_while_it_runs_gets_one_reply(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    messages: list[bytes] = []
    client.messaging.on_message_recv.add(lambda _c, _i, message: messages.append(message.data))
    for _ in range(3):
        client.call("block")
    client.until(service.came.is_set)
    service.go_on.set()
    client.until(lambda: client.replies)
    assert client.reply_of("echo", req_id=b"other")["ok"]
    assert [reply["req_id"] for reply in client.replies] == [b"other"]
    assert service.calls == [(), ((),)]
    assert len(messages) == 2


def test_a_repeated_request_gets_the_reply_that_was_lost(
    server: RpcServer, client: RawClient, service: Service, network: MemoryNetwork
) -> None:
    client.call("block")
    client.until(service.came.is_set)
    network.disconnect(client.link.connections[0])
    network.run_until_idle()
    service.go_on.set()
    assert client.disconnected == ["server"]
    network.connect(client.link, network.links["server"])
    client.call("block")
    client.until(lambda: client.replies)
    assert client.replies == [{"ok": True, "return": "went on", "req_id": REQ_ID}]
    assert len(service.calls) == 1


def test_another_client_with_the_same_req_id_is_another_one(
    server: RpcServer, client: RawClient, raw_client: MakeRawClient, service: Service
) -> None:
    client.reply_of("echo", 1)
    other = raw_client("other")
    other.network.connect(other.link, other.network.links["server"])
    assert other.reply_of("echo", 2)["return"] == ((2,), {})


def test_a_reply_that_is_too_long_to_be_remembered_is_sent_once(
    start: Any, client: RawClient, service: Service
) -> None:
    start(max_reply_bytes=10_000)
    assert len(client.reply_of("big", 20_000)["return"]) == 20_000
    reply = client.reply_of("big", 20_000)
    assert type(reply["exception"]) is Error
    assert "too long to be remembered" in str(reply["exception"])
    assert len(service.calls) == 1


def test_a_reply_that_the_client_does_not_take_becomes_an_error(
    node: MakeNode, raw_client: MakeRawClient, service: Service
) -> None:
    server_node = node("server")
    RpcServer(server_node.hook, threads=0).register_object(service, "object")
    client = raw_client("small", max_packet_size=10_000)
    client.connect(server_node)
    reply = client.reply_of("big", 20_000)
    assert type(reply["exception"]) is Error
    assert "20" in str(reply["exception"])
    assert "dropped" in str(reply["exception"])
    assert len(service.calls) == 1
    assert client.reply_of("big", 5_000, req_id=b"2")["ok"]


# Load.


def test_calls_beyond_the_limit_are_told_that_the_server_is_busy(
    start: Any, client: RawClient, service: Service
) -> None:
    start(threads=1, max_waiting=1)
    client.call("block", req_id=b"1")
    client.until(service.came.is_set)
    client.call("echo", req_id=b"2")
    reply = client.reply_of("echo", req_id=b"3")
    assert reply["req_id"] == b"3"
    assert type(reply["exception"]) is Error
    assert "busy" in str(reply["exception"])
    service.go_on.set()
    client.until(lambda: len(client.replies) == 3)
    assert client.reply_of("echo", req_id=b"3")["ok"]  # not remembered: it was not executed


def test_a_closed_server_answers_nothing_more(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    client.reply_of("echo")
    server.close()
    client.call("echo", req_id=b"2")
    client.network.run_until_idle()
    assert len(client.replies) == 1


def test_requests_are_logged_if_one_wants_to_see_them(
    server: RpcServer, client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "snakemq.rpc"):
        client.reply_of("echo")
    assert "call from ident='client' obj='object' method='echo'" in caplog.text


class Unregistered:
    pass


class Registered:
    def __init__(self, value: int) -> None:
        self.value = value


def test_objects_of_registered_classes_are_received(start: Any, client: RawClient) -> None:
    pickler = SafePickler()
    pickler.register(Registered)
    start(pickler=pickler)
    reply = client.reply_of("echo", Registered(5))
    assert reply["return"][0][0].value == 5


def test_the_module_pickle_trusts_everybody(start: Any, client: RawClient) -> None:
    start(pickler=pickle)
    assert isinstance(client.reply_of("echo", Unregistered())["return"][0][0], Unregistered)


def test_a_server_writes_protocol_4_with_any_pickler(start: Any, client: RawClient) -> None:
    start(pickler=pickle)
    bodies: list[bytes] = []
    client.messaging.on_message_recv.add(lambda _c, _i, message: bodies.append(message.data))
    client.reply_of("echo")
    assert bodies[0][:8] == b"rpcrep\x80\x04"


def test_a_closed_server_has_let_go_of_everything(node: MakeNode) -> None:
    one: Node = node("one")
    for _ in range(2):
        server = RpcServer(one.hook)
        server.close()
        server.close()
    for callback in (one.messaging.on_connect, one.messaging.on_message_drop):
        assert not any("RpcServer" in repr(func) for func in callback.callbacks)
