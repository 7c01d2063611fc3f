"""Methods that are ``async def``, which something else runs: here the test, one step at a time."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rpc_peers import MakeNode, MakeRawClient, Node, RawClient, in_thread, result

from snakemq.message import Message
from snakemq.policy import Allow, Rules
from snakemq.queues import MemoryQueuesStorage
from snakemq.rpc import Error, NotAllowed, RpcClient, RpcServer, SafePickler, allow, as_signal
from snakemq.rpc._replies._coroutines import RunningCoroutines
from snakemq.rpc._replies._decoding import DECODED_AT_ONCE
from snakemq.rpc._replies._jobs import Job

OnEnd = Callable[[Any, BaseException | None], object]

SMALL = b"small"
LARGE = bytes(DECODED_AT_ONCE + 1)

of_any_size = pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])


class Runner:
    """Keeps coroutines until the test lets them run, and end."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Coroutine[Any, Any, Any], OnEnd]] = []

    def run(self, coroutine: Coroutine[Any, Any, Any], on_end: OnEnd) -> None:
        self.waiting.append((coroutine, on_end))

    def end_one(self) -> None:
        coroutine, on_end = self.waiting.pop(0)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            on_end(stop.value, None)
        except Exception as exc:
            on_end(None, exc)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


class Service:
    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def size(self, data: bytes) -> int:
        self.heard.append(data)
        return len(data)

    async def fail(self, data: bytes) -> None:
        raise LookupError("not here")

    @as_signal
    async def note(self, data: bytes) -> None:
        self.heard.append(data)

    @allow("somebody")
    async def guarded(self, data: bytes) -> int:
        return await self.size(data)

    @decorated
    async def behind(self, data: bytes) -> int:
        return len(data)

    @as_signal
    @decorated
    async def signal_behind(self, data: bytes) -> None:
        self.heard.append(data)

    def plain(self, data: bytes) -> int:
        return len(data)


@pytest.fixture
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    for coroutine, _ in runner.waiting:
        coroutine.close()


@pytest.fixture
def service() -> Service:
    return Service()


Start = Callable[..., RpcServer]


@pytest.fixture
def server_node(node: MakeNode) -> Node:
    return node("server")


@pytest.fixture
def start(runner: Runner, service: Service) -> Iterator[Start]:
    servers: list[RpcServer] = []

    def start(server_node: Node, **options: Any) -> RpcServer:
        server = RpcServer(server_node.hook, run_coroutine=runner.run, **options)
        server.register_object(service, "object")
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def client(raw_client: MakeRawClient, server_node: Node) -> RawClient:
    client = raw_client()
    client.connect(server_node)
    return client


def number(n: int) -> bytes:
    """Return the id of a request."""
    return b"%16d" % n


def open_messages(client: Node) -> int:
    return client.messaging.outstanding("server")[0]


# -- the life of a call


@of_any_size
def test_async_method_answers_when_it_has_ended(
    start: Start, server_node: Node, client: RawClient, runner: Runner, data: bytes
) -> None:
    start(server_node)
    client.call("size", data)
    client.until(lambda: runner.waiting)
    client.network.run_until_idle()
    assert client.replies == []
    runner.end_one()
    client.until(lambda: client.replies)
    assert client.replies[0]["return"] == len(data)


@of_any_size
@pytest.mark.parametrize("method", ["size", "fail", "note"])
def test_request_is_acknowledged_when_its_method_has_ended(
    start: Start, server_node: Node, client: RawClient, runner: Runner, data: bytes, method: str
) -> None:
    start(server_node)
    (client.signal if method == "note" else client.call)(method, data)
    client.until(lambda: runner.waiting)
    client.network.advance(1)
    assert open_messages(client) == 1
    runner.end_one()
    client.until(lambda: open_messages(client) == 0)


@of_any_size
def test_exception_of_an_async_method_arrives(
    start: Start, server_node: Node, client: RawClient, runner: Runner, data: bytes
) -> None:
    start(server_node)
    client.call("fail", data)
    client.until(lambda: runner.waiting)
    runner.end_one()
    client.until(lambda: client.replies)
    assert isinstance(client.replies[0]["exception"], LookupError)


@of_any_size
def test_repeated_request_is_answered_once(
    start: Start,
    server_node: Node,
    client: RawClient,
    runner: Runner,
    service: Service,
    data: bytes,
) -> None:
    start(server_node)
    client.call("size", data)
    client.until(lambda: runner.waiting)
    client.call("size", data)
    client.network.run_until_idle()
    runner.end_one()
    client.until(lambda: client.replies)
    client.network.advance(1)
    assert len(client.replies) == 1
    assert service.heard == [data]
    assert runner.waiting == []
    assert client.reply_of("size", data)["return"] == len(data)  # remembered
    assert service.heard == [data]


@of_any_size
def test_call_with_wrong_arguments_fails_and_is_over(
    start: Start, server_node: Node, client: RawClient, data: bytes
) -> None:
    start(server_node, max_coroutines=1)
    for n in range(3):
        reply = client.reply_of("size", data, data, req_id=number(n))
        assert isinstance(reply["exception"], TypeError)
    client.until(lambda: open_messages(client) == 0)


@of_any_size
def test_method_that_nothing_can_run_any_more_fails(
    start: Start, server_node: Node, client: RawClient, data: bytes
) -> None:
    def refuse(_coroutine: object, _on_end: object) -> None:
        raise RuntimeError("the event loop is closed")

    server = start(server_node, max_coroutines=1)
    for n, runner in enumerate((refuse, None, refuse)):
        server.run_coroutine = runner
        reply = client.reply_of("size", data, req_id=number(n))
        assert "event loop" in str(reply["exception"])
    client.until(lambda: open_messages(client) == 0)
    gc.collect()  # a coroutine that is left warns, which is an error here


def test_large_call_whose_caller_has_given_up_does_not_run(
    start: Start, server_node: Node, node: MakeNode, runner: Runner, service: Service
) -> None:
    server = start(server_node, threads=1)
    server.max_decoded_bytes = 0
    client_node = node("client")
    size = RpcClient(client_node.hook).get_proxy("server", "object").size
    client_node.connect(server_node)
    first = size.future(LARGE)
    client_node.until(lambda: runner.waiting and not server.unfinished)
    size.set_timeout(5)
    size.future(LARGE)  # its thread waits for room to decode it
    client_node.until(lambda: server.unfinished)
    client_node.network.advance(10)
    runner.end_one()
    client_node.until(lambda: first.done() and not server.unfinished)
    client_node.until(lambda: open_messages(client_node) == 0)
    assert service.heard == [LARGE]
    assert runner.waiting == []


# -- how many run


@of_any_size
def test_call_that_finds_no_room_is_refused(
    start: Start, server_node: Node, client: RawClient, runner: Runner, data: bytes
) -> None:
    start(server_node, max_coroutines=1)
    client.call("size", data)
    client.until(lambda: runner.waiting)
    assert client.reply_of("size", data, req_id=number(1))["busy"]
    runner.end_one()
    client.until(lambda: len(client.replies) == 2 and open_messages(client) == 0)
    client.call("size", data, req_id=number(1))  # not remembered, because it was not executed
    client.until(lambda: runner.waiting)


@of_any_size
def test_one_client_cannot_keep_out_another(
    start: Start,
    server_node: Node,
    client: RawClient,
    raw_client: MakeRawClient,
    runner: Runner,
    data: bytes,
) -> None:
    start(server_node, max_coroutines=4)
    for n in range(10):
        client.call("size", data, req_id=number(n))
    client.until(lambda: len(client.replies) == 8)
    assert all(reply["busy"] for reply in client.replies)
    assert len(runner.waiting) == 2
    other = raw_client("other")
    other.connect(server_node)
    other.call("size", data)
    other.until(lambda: len(runner.waiting) == 3)


@of_any_size
def test_signals_are_never_refused_and_take_no_room_from_calls(
    start: Start,
    server_node: Node,
    client: RawClient,
    runner: Runner,
    service: Service,
    data: bytes,
) -> None:
    start(server_node, max_coroutines=1)
    for _ in range(5):
        client.signal("note", data)
    client.until(lambda: len(runner.waiting) == 5)
    client.call("size", data)
    client.until(lambda: len(runner.waiting) == 6)
    while runner.waiting:
        runner.end_one()
    client.until(lambda: client.replies)
    assert service.heard == [data] * 6


def test_large_call_is_refused_while_it_waits_for_a_thread(
    start: Start, server_node: Node, client: RawClient, runner: Runner
) -> None:
    server = start(server_node, threads=1, max_waiting=1)
    server.max_decoded_bytes = 0
    client.call("size", LARGE)
    client.until(lambda: runner.waiting and not server.unfinished)
    client.call("size", LARGE, req_id=number(1))  # its thread waits for room to decode
    client.until(lambda: server.unfinished)
    client.call("size", LARGE, req_id=number(2))  # waits for a thread
    assert client.reply_of("size", LARGE, req_id=number(3))["busy"]
    for _ in range(3):
        client.until(lambda: runner.waiting)
        runner.end_one()
    client.until(lambda: open_messages(client) == 0)
    assert runner.waiting == []


def test_running_coroutines_count_for_the_arguments_that_are_decoded(
    start: Start, server_node: Node, client: RawClient, runner: Runner
) -> None:
    server = start(server_node, threads=2)
    server.max_decoded_bytes = 0
    for n in range(3):
        client.call("size", LARGE, req_id=number(n))
        client.until(lambda: runner.waiting)
        client.call("plain", LARGE, req_id=number(10 + n))
        client.until(lambda: server.unfinished == 1)
        client.network.run_until_idle()
        assert client.replies == []
        runner.end_one()
        client.until(lambda: len(client.replies) == 2)
        client.replies.clear()


def test_refused_large_call_gives_back_what_it_had_decoded(
    start: Start, server_node: Node, client: RawClient, runner: Runner
) -> None:
    server = start(server_node, max_coroutines=1)
    client.call("size", SMALL)
    client.until(lambda: runner.waiting)
    server.max_decoded_bytes = 0
    for n in range(3):
        assert client.reply_of("size", LARGE, req_id=number(n))["busy"]
        assert client.reply_of("plain", LARGE, req_id=number(10 + n))["return"] == len(LARGE)


class Most:
    """The one setting that counts here."""

    def __init__(self, max_coroutines: int) -> None:
        self.max_coroutines = max_coroutines


def job(client: str, *, is_call: bool = True) -> Job:
    job = Job(client, Message(b""), 0.0)
    job.req_id = number(0) if is_call else None
    return job


def test_each_client_gets_half_of_what_is_left() -> None:
    coroutines = RunningCoroutines(Most(1000))  # type: ignore[arg-type]
    shares = []
    for client in map(str, range(12)):
        share = 0
        while coroutines.begin(job(client)):
            share += 1
        shares.append(share)
    assert shares == [500, 250, 125, 63, 31, 16, 8, 4, 2, 1, 0, 0]


@given(
    max_coroutines=st.integers(0, 6),
    steps=st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), max_size=40),
)
def test_calls_never_exceed_the_room_and_a_new_client_finds_some(
    max_coroutines: int, steps: list[tuple[str, bool, bool]]
) -> None:
    coroutines = RunningCoroutines(Most(max_coroutines))  # type: ignore[arg-type]
    running: list[Job] = []
    for client, begins, is_call in steps:
        calls = [job.ident for job in running if job.req_id is not None]
        if begins:
            new = job(client, is_call=is_call)
            may_begin = not is_call or calls.count(client) < max_coroutines - len(calls)
            assert coroutines.begin(new) is may_begin
            running += [new] * may_begin
        elif running:
            coroutines.end(running.pop(0))
        assert coroutines.count == len(running)
        assert sum(job.req_id is not None for job in running) <= max_coroutines
    for one in running:
        coroutines.end(one)
    assert coroutines.begin(job("new")) is (max_coroutines > 0)


# -- the end of a server


@of_any_size
def test_drain_waits_for_async_methods(
    start: Start, server_node: Node, client: RawClient, runner: Runner, data: bytes
) -> None:
    server = start(server_node)
    for n in range(3):
        client.call("size", data, req_id=number(n))
    client.until(lambda: len(runner.waiting) == 3 and not server.unfinished)
    assert result(in_thread(lambda: server.drain(0))) == 3
    drained = in_thread(lambda: server.drain(None))
    for _ in range(3):
        assert not drained.done()
        runner.end_one()
    assert result(drained) == 0
    client.until(lambda: len(client.replies) == 3)


def test_drain_waits_for_an_async_method_whose_arguments_are_decoded(
    start: Start, server_node: Node, client: RawClient, runner: Runner
) -> None:
    server = start(server_node)
    server.max_decoded_bytes = 0
    for n in range(2):
        client.call("size", LARGE, req_id=number(n))
    client.until(lambda: runner.waiting and server.unfinished == 1)
    drained = in_thread(lambda: server.drain(None))
    runner.end_one()
    client.until(lambda: runner.waiting)
    assert not drained.done()
    runner.end_one()
    assert result(drained) == 0


# -- what else holds for a request


@of_any_size
@pytest.mark.parametrize("with_inbox", [False, True], ids=["manual_ack", "inbox"])
def test_async_methods_over_another_kind_of_messaging(
    node: MakeNode,
    start: Start,
    raw_client: MakeRawClient,
    runner: Runner,
    data: bytes,
    with_inbox: bool,
) -> None:
    options: dict[str, Any] = (
        {"inbox": MemoryQueuesStorage()} if with_inbox else {"manual_ack": True}
    )
    server_node = node("server", **options)
    start(server_node, max_coroutines=1)
    client = raw_client()
    client.connect(server_node)
    for n in range(3):
        client.call("size", data, req_id=number(n))
        client.until(lambda: runner.waiting)
        client.signal("note", data)
        client.until(lambda: len(runner.waiting) == 2)
        assert client.reply_of("size", data, req_id=number(10 + n))["busy"]
        runner.end_one()
        runner.end_one()
        client.until(lambda: open_messages(client) == 0)
    assert server_node.errors == []


@of_any_size
def test_request_that_did_not_end_goes_to_the_next_process(
    node: MakeNode, start: Start, raw_client: MakeRawClient, runner: Runner, data: bytes
) -> None:
    inbox = MemoryQueuesStorage()
    old = node("server", inbox=inbox)
    start(old)
    client = raw_client()
    client.connect(old)
    client.signal("note", data)
    client.until(lambda: runner.waiting)
    client.network.crash(old.link)
    successor = node("server", inbox=MemoryQueuesStorage(inbox))
    start(successor)
    client.connect(successor)
    client.until(lambda: len(runner.waiting) == 2)


@of_any_size
def test_policy_decides_about_async_methods(
    node: MakeNode, start: Start, runner: Runner, service: Service, data: bytes
) -> None:
    class Counting(SafePickler):
        decoded = 0

        def loads(self, data: bytes, /) -> Any:
            Counting.decoded += 1
            return super().loads(data)

    policy = Rules([Allow("client", call="object.size")])
    server_node, client_node = node("server", policy=policy), node("client")
    start(server_node, pickler=Counting())
    proxy = RpcClient(client_node.hook).get_proxy("server", "object")
    client_node.connect(server_node)
    refused = proxy.fail.future(data)
    client_node.until(refused.done)
    assert isinstance(refused.exception(), NotAllowed)
    assert Counting.decoded == 0
    allowed = proxy.size.future(data)
    client_node.until(lambda: runner.waiting)
    runner.end_one()
    client_node.until(allowed.done)
    assert allowed.result() == len(data)


@of_any_size
@pytest.mark.parametrize("name", ["client", "somebody"])
def test_mark_decides_who_may_call_an_async_method(
    node: MakeNode, start: Start, runner: Runner, data: bytes, name: str
) -> None:
    server_node, client_node = node("server"), node(name)
    start(server_node)
    proxy = RpcClient(client_node.hook).get_proxy("server", "object")
    client_node.connect(server_node)
    future = proxy.guarded.future(data)
    client_node.until(lambda: future.done() or runner.waiting)
    if name == "client":
        assert isinstance(future.exception(), NotAllowed)
        assert runner.waiting == []
    else:
        runner.end_one()
        client_node.until(future.done)
        assert future.result() == len(data)


# -- methods that are not what they seem


@of_any_size
def test_async_method_behind_a_plain_decorator_is_an_error(
    start: Start, server_node: Node, client: RawClient, runner: Runner, data: bytes
) -> None:
    start(server_node)
    reply = client.reply_of("behind", data)
    assert isinstance(reply["exception"], Error)
    assert "'behind' returned a coroutine" in str(reply["exception"])
    assert runner.waiting == []
    gc.collect()  # a coroutine that is left warns, which is an error here


def test_signal_of_such_a_method_is_logged(
    start: Start, server_node: Node, client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    start(server_node)
    client.signal("signal_behind", SMALL)
    client.until(lambda: "'signal_behind' returned a coroutine" in caplog.text)
    gc.collect()


class Replaced:
    """It has a method of the same name, which is not async or is."""

    def size(self, data: bytes) -> int:
        return -len(data)

    async def plain(self, data: bytes) -> int:
        return -len(data)


@of_any_size
def test_object_is_replaced_while_a_call_waits_for_a_thread(
    start: Start, server_node: Node, client: RawClient, runner: Runner, data: bytes
) -> None:
    server = start(server_node, threads=1)
    server.max_decoded_bytes = 0
    client.call("size", LARGE)
    client.until(lambda: runner.waiting and not server.unfinished)
    client.call("size", LARGE, req_id=number(1))
    client.until(lambda: server.unfinished == 1)
    client.call("plain", data, req_id=number(2))
    client.until(lambda: server._dispatcher._backlog.count == 1)
    server.register_object(Replaced(), "object")
    runner.end_one()  # now the thread goes on
    client.until(lambda: len(client.replies) == 2)
    assert client.replies[1]["return"] == -len(LARGE)
    client.until(lambda: runner.waiting)
    runner.end_one()
    client.until(lambda: len(client.replies) == 3)
    assert client.replies[2]["return"] == -len(data)
    client.until(lambda: open_messages(client) == 0)
