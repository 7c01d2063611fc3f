"""A server that has more to do than threads: what waits, what is refused, and what is told."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from queue import SimpleQueue
from typing import Any

import pytest
from rpc_peers import PATIENCE, MakeNode, MakeRawClient, Node, RawClient

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.rpc import Error, RpcServer, SafePickler, as_signal, inline
from snakemq.rpc._pickling._pickler import Pickler
from snakemq.rpc._protocol import Request
from snakemq.rpc._replies import _intake
from snakemq.rpc._replies._dispatcher import TICK
from snakemq.rpc._replies._jobs import Job
from snakemq.rpc._replies._requests import read_request
from snakemq.rpc._replies._watch import STUCK_AFTER, TELL_AGAIN_AFTER


class Service:
    """Its methods note down that they have begun, and some wait for :attr:`go_on`."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.done: list[Any] = []
        self.go_on = threading.Event()

    def block(self, number: int = 0) -> int:
        self.begun.append(number)
        assert self.go_on.wait(PATIENCE)
        self.done.append(number)
        return number

    @as_signal
    def blocking_signal(self, number: int, _data: bytes = b"") -> None:
        self.block(number)

    @as_signal
    def failing_signal(self, number: int) -> None:
        self.block(number)
        raise ValueError("in a signal")

    def echo(self, value: Any, _data: Any = None) -> Any:
        self.begun.append(value)
        return value

    def big(self, size: int) -> bytes:
        self.begun.append(size)
        return bytes(size)

    @inline
    def big_inline(self, size: int) -> bytes:
        return self.big(size)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.go_on.set()


@pytest.fixture
def client(raw_client: MakeRawClient) -> RawClient:
    return raw_client()


@pytest.fixture
def server_node(node: MakeNode) -> Node:
    return node("server")


Start = Callable[..., RpcServer]


@pytest.fixture
def start(server_node: Node, service: Service, client: RawClient) -> Iterator[Start]:
    servers: list[RpcServer] = []

    def start(**options: Any) -> RpcServer:
        server = RpcServer(server_node.hook, **options)
        server.register_object(service, "object")
        servers.append(server)
        client.connect(server_node)
        return server

    yield start
    service.go_on.set()
    for server in servers:
        server.close()


def delivered_to(node: Node) -> list[bytes]:
    told: list[bytes] = []
    node.messaging.on_message_delivered.add(lambda _c, _i, uuid: told.append(uuid))
    return told


def occupy(client: RawClient, service: Service, threads: int = 1) -> None:
    """All threads of the server are busy."""
    for number in range(threads):
        client.call("block", -1, req_id=b"blocking %d" % number)
    client.until(lambda: service.begun.count(-1) == threads)
    service.begun.clear()


def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)


# -- signals


def test_a_signal_is_delivered_when_its_method_has_returned(
    start: Start, client: RawClient, service: Service
) -> None:
    start(threads=1)
    delivered = delivered_to(client)
    client.signal("blocking_signal", 1)
    client.until(lambda: service.begun)
    client.network.advance(60)
    assert delivered == []
    service.go_on.set()
    client.until(lambda: delivered)
    assert service.done == [1]


def test_a_signal_is_delivered_when_its_method_has_raised(
    start: Start, client: RawClient, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    start(threads=1)
    delivered = delivered_to(client)
    client.signal("failing_signal", 1)
    client.until(lambda: service.begun)
    assert delivered == []
    service.go_on.set()
    client.until(lambda: delivered)
    assert "in a signal" in caplog.text


def test_no_signal_is_dropped_because_of_load(
    start: Start, client: RawClient, service: Service
) -> None:
    start(threads=2, max_waiting=0, max_waiting_bytes=0)
    delivered = delivered_to(client)
    for number in range(100):
        client.signal("blocking_signal", number)
    client.until(lambda: len(service.begun) == 2)
    client.network.advance(1)
    assert delivered == []
    service.go_on.set()
    client.until(lambda: len(delivered) == 100)
    assert sorted(service.done) == list(range(100))


def test_signals_that_were_not_run_are_run_by_the_next_process(
    start: Start, client: RawClient, service: Service, network: MemoryNetwork, node: MakeNode
) -> None:
    start(threads=1)
    delivered = delivered_to(client)
    for number in range(5):
        client.signal("blocking_signal", number)
    client.until(lambda: service.begun)
    network.crash(network.links["server"])
    network.run_until_idle()
    assert delivered == []
    successor, after = node("server"), Service()
    after.go_on.set()
    server = RpcServer(successor.hook, threads=1)
    server.register_object(after, "object")
    client.connect(successor)
    client.until(lambda: len(delivered) == 5)
    assert after.done == list(range(5))
    server.close()


def test_with_manual_ack_a_signal_is_delivered_when_its_method_returns(
    node: MakeNode, client: RawClient, service: Service
) -> None:
    server_node = node("server", manual_ack=True)
    server = RpcServer(server_node.hook, threads=1)
    server.register_object(service, "object")
    client.connect(server_node)
    delivered = delivered_to(client)
    for number in range(3):
        client.signal("blocking_signal", number)
    client.until(lambda: service.begun)
    assert delivered == []
    service.go_on.set()
    client.until(lambda: len(delivered) == 3)
    server.close()


def test_a_closed_server_runs_the_signals_that_it_has(
    start: Start, client: RawClient, service: Service
) -> None:
    server = start(threads=1)
    delivered = delivered_to(client)
    for number in range(5):
        client.signal("blocking_signal", number)
    client.until(lambda: service.begun)
    server.close()
    service.go_on.set()
    client.until(lambda: len(delivered) == 5)
    assert service.done == list(range(5))


# -- requests that wait for a thread


def test_a_call_is_not_acknowledged_before_a_thread_begins_it(
    start: Start, client: RawClient, service: Service
) -> None:
    start(threads=1)
    occupy(client, service)
    client.network.advance(1)
    delivered = delivered_to(client)
    client.call("echo", 1, req_id=b"1")
    client.network.advance(1)
    assert delivered == []
    service.go_on.set()
    client.until(lambda: len(client.replies) == 2)
    client.network.advance(1)
    assert len(delivered) == 1


def test_what_waits_is_kept_as_it_came_off_the_wire(
    start: Start, client: RawClient, service: Service
) -> None:
    server = start(threads=1)
    occupy(client, service)
    client.call("echo", 1, [None] * 1000, req_id=b"1")
    client.network.run_until_idle()
    (waiting,) = server._dispatcher._backlog._ready["client"].values()
    assert waiting.request is None
    service.go_on.set()
    client.until(lambda: len(client.replies) == 2)
    assert client.replies[1]["return"] == 1


def test_a_request_that_cannot_be_decoded_again_ends_its_call(
    start: Start, client: RawClient, service: Service
) -> None:
    """A request that waits is decoded twice, and the classes of the user take part in that."""
    seen: set[bytes] = set()

    class Once(SafePickler):
        def loads(self, data: bytes, /) -> Any:
            if data in seen:
                raise ValueError("only once")
            seen.add(data)
            return super().loads(data)

    start(threads=1, pickler=Once())
    occupy(client, service)
    client.call("echo", 1, req_id=b"1")
    client.network.run_until_idle()
    service.go_on.set()
    client.until(lambda: len(client.replies) == 2)
    (reply,) = (reply for reply in client.replies if reply["req_id"] == b"1")
    assert str(reply["exception"]) == "only once"
    assert service.begun == []


@pytest.mark.parametrize("limit", [{"max_waiting": 3}, {"max_waiting_bytes": 5000}])
def test_calls_beyond_a_limit_are_refused(
    start: Start, client: RawClient, service: Service, limit: dict[str, int]
) -> None:
    start(threads=1, **limit)
    occupy(client, service)
    for number in range(10):
        client.call("echo", number, bytes(1000), req_id=b"%d" % number)
    client.network.run_until_idle()
    refused = [reply for reply in client.replies if isinstance(reply.get("exception"), Error)]
    assert len(refused) == 7
    assert all("busy" in str(reply["exception"]) for reply in refused)
    service.go_on.set()
    client.until(lambda: len(client.replies) == 11)
    assert service.begun == [0, 1, 2]


@pytest.mark.parametrize("limit", [{"max_waiting": 3}, {"max_waiting_bytes": 5000}])
def test_a_client_that_takes_all_the_room_gives_some_to_others(
    start: Start,
    client: RawClient,
    raw_client: MakeRawClient,
    server_node: Node,
    service: Service,
    limit: dict[str, int],
) -> None:
    start(threads=1, **limit)
    occupy(client, service)
    for number in range(3):
        client.call("echo", number, bytes(1000), req_id=b"%d" % number)
    client.network.run_until_idle()
    other = raw_client("other")
    other.connect(server_node)
    for name in ("first", "second"):
        other.call("echo", name, bytes(1000), req_id=name.encode())
    other.network.run_until_idle()
    (refused,) = client.replies
    assert refused["req_id"] == b"2"
    assert "busy" in str(refused["exception"])
    (refused,) = other.replies  # it has as many as the other client has now
    assert refused["req_id"] == b"second"
    service.go_on.set()
    client.until(lambda: len(client.replies) == 4)
    other.until(lambda: len(other.replies) == 2)
    assert service.begun == [0, "first", 1] or service.begun == ["first", 0, 1]


def test_requests_that_were_held_do_not_take_the_room_of_others(
    start: Start,
    client: RawClient,
    raw_client: MakeRawClient,
    server_node: Node,
    service: Service,
    network: MemoryNetwork,
) -> None:
    start(threads=1, max_waiting=2, max_unread_bytes=100_000)
    conn_id = client.link.connections[0]
    client.link.pause_reading(conn_id, "test")
    for number in range(10):
        client.call("big_inline", 50_000, req_id=b"%d" % number)
    for number in range(10):
        client.call("echo", number, req_id=b"echo %d" % number)
    network.advance(5)
    blocker, other = raw_client("blocker"), raw_client("other")
    for peer in (blocker, other):
        peer.connect(server_node)
    occupy(blocker, service)
    client.link.resume_reading(conn_id, "test")
    network.run_until(lambda: len(client.replies) == 10, timeout=60)
    other.call("echo", "other")
    network.advance(5)
    assert other.replies == []
    service.go_on.set()
    other.until(lambda: other.replies)
    assert other.replies[0]["return"] == "other"
    network.run_until(lambda: len(client.replies) == 20, timeout=600, patience=0.01)
    assert all(reply["ok"] for reply in client.replies)


def test_clients_take_turns_while_they_wait(
    start: Start, client: RawClient, raw_client: MakeRawClient, server_node: Node, service: Service
) -> None:
    start(threads=1)
    occupy(client, service)
    for number in range(100):
        client.signal("blocking_signal", number)
    client.network.run_until_idle()
    other = raw_client("other")
    other.connect(server_node)
    other.call("echo", "other")
    other.network.run_until_idle()
    service.go_on.set()
    other.until(lambda: other.replies)
    client.until(lambda: len(service.done) == 101)
    assert service.begun.index("other") <= 2


def test_a_repeated_request_that_still_waits_is_executed_once(
    start: Start, client: RawClient, service: Service, network: MemoryNetwork
) -> None:
    start(threads=1)
    occupy(client, service)
    for _ in range(3):
        client.call("echo", 1, req_id=b"1")
    network.run_until_idle()
    service.go_on.set()
    client.until(lambda: len(client.replies) == 2)
    assert service.begun == [1]


# -- callers that have given up


def test_a_call_whose_caller_gave_up_is_not_executed(
    start: Start, client: RawClient, service: Service, network: MemoryNetwork
) -> None:
    start(threads=1)
    occupy(client, service)
    client.call("echo", "late", req_id=b"1", timeout=5.0)
    client.call("echo", "in time", req_id=b"2", timeout=20.0)
    client.call("echo", "no hurry", req_id=b"3")
    network.advance(10)
    service.go_on.set()
    client.until(lambda: len(client.replies) == 3)
    assert service.begun == ["in time", "no hurry"]
    client.call("echo", "again", req_id=b"1", timeout=5.0)
    client.until(lambda: len(client.replies) == 4)
    assert service.begun[-1] == "again"  # for it has its own time


@pytest.mark.parametrize("timeout", ["5", b"", [], True, -1, float("nan"), 1e300, 10**400])
def test_a_timeout_that_is_not_a_time_is_ignored(
    start: Start, client: RawClient, service: Service, timeout: Any
) -> None:
    start(threads=1)
    assert client.reply_of("echo", 1, timeout=timeout)["return"] == 1


# -- clients that do not read


@pytest.mark.parametrize("method", ["big", "big_inline"])
def test_no_call_begins_while_its_client_reads_nothing(
    start: Start, client: RawClient, service: Service, network: MemoryNetwork, method: str
) -> None:
    start(threads=1, max_unread_bytes=100_000)
    conn_id = client.link.connections[0]
    client.link.pause_reading(conn_id, "test")
    for number in range(50):
        client.call(method, 40_000, req_id=b"%d" % number)
    client.until(lambda: len(service.begun) >= 3)
    for _ in range(10):
        network.advance(1)
    assert len(service.begun) == 3
    client.link.resume_reading(conn_id, "test")
    network.run_until(lambda: len(client.replies) == 50, timeout=600, patience=0.01)
    assert client.disconnected == []


def test_no_call_begins_whose_client_became_full_while_it_was_read(
    start: Start, client: RawClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reply that is one too many also frees the thread which the next call would take."""
    begun: list[int] = []
    is_read = threading.Event()
    is_idle = threading.Semaphore(0)

    class Jobs(SimpleQueue[Any]):
        def get(self) -> Any:  # type: ignore[override]
            is_idle.release()
            return super().get()

    class Late:
        def big(self, number: int) -> bytes:
            begun.append(number)
            assert number < 3 or is_read.wait(PATIENCE)
            return bytes(40_000)

    def read_late(pickler: Pickler, message: Message) -> Request:
        request = read_request(pickler, message)
        if request["args"] == (4,):
            is_read.set()
        for _ in range({1: 0, 2: 2}.get(request["args"][0], 1)):  # its start counts, too
            assert is_idle.acquire(timeout=PATIENCE)
        return request

    server = start(threads=1, max_unread_bytes=100_000)
    server.register_object(Late(), "late")
    server._dispatcher.pool._jobs = Jobs()
    monkeypatch.setattr(_intake, "read_request", read_late)
    client.link.pause_reading(client.link.connections[0], "test")
    for number in range(1, 5):
        client.call("big", number, object="late", req_id=b"%d" % number)
    client.until(is_read.is_set)
    assert server._dispatcher._backlog.held_clients() == ["client"]
    assert begun == [1, 2, 3]


def test_another_client_is_served_meanwhile(
    start: Start,
    client: RawClient,
    raw_client: MakeRawClient,
    server_node: Node,
    service: Service,
    network: MemoryNetwork,
) -> None:
    start(threads=1, max_unread_bytes=100_000)
    client.link.pause_reading(client.link.connections[0], "test")
    for number in range(50):
        client.call("big", 40_000, req_id=b"%d" % number)
    client.until(lambda: len(service.begun) >= 3)
    network.advance(1)
    other = raw_client("other")
    other.connect(server_node)
    assert other.reply_of("echo", "other")["return"] == "other"


def test_requests_held_for_a_client_go_on_when_it_leaves(
    start: Start, client: RawClient, server_node: Node, service: Service, network: MemoryNetwork
) -> None:
    server = start(threads=1, max_unread_bytes=100_000)
    conn_id = client.link.connections[0]
    client.link.pause_reading(conn_id, "test")
    for number in range(5):
        client.call("big_inline", 40_000, req_id=b"%d" % number)
    network.run_until_idle()
    assert len(service.begun) == 3
    network.disconnect(conn_id)
    network.advance(1)
    assert len(service.begun) == 5
    assert server._replies.full == set()


def test_a_closed_server_runs_the_calls_of_a_client_that_reads_nothing(
    start: Start, client: RawClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replies of threads that still work fill the client again and again meanwhile."""
    server = start(threads=1, max_unread_bytes=100_000)
    client.link.pause_reading(client.link.connections[0], "test")
    for number in range(20):
        client.call("big", 40_000, req_id=b"%d" % number)
    client.until(lambda: server._dispatcher._backlog.held_clients())
    release, rounds = server._dispatcher.pool.release, iter(range(100))

    def release_and_fill(ident: str) -> Job | None:
        next(rounds)
        server._replies.full.add(ident)
        return release(ident)

    monkeypatch.setattr(server._dispatcher.pool, "release", release_and_fill)
    server.close()
    client.until(lambda: len(service.begun) == 20)


def test_clients_that_left_without_reading_are_forgotten_like_others(
    start: Start, raw_client: MakeRawClient, server_node: Node, network: MemoryNetwork
) -> None:
    server = start(threads=1, max_unread_bytes=10_000, max_idents=3)
    for number in range(10):
        client = raw_client(f"client {number}")
        conn_id = client.connect(server_node)
        client.link.pause_reading(conn_id, "test")
        client.call("big_inline", 40_000)
        network.run_until_idle()
        network.disconnect(conn_id)
        network.run_until_idle()
    assert len(server._replies._clients) <= 3


def test_one_reply_may_have_any_size(
    start: Start, client: RawClient, network: MemoryNetwork
) -> None:
    start(threads=1, max_unread_bytes=1000)
    for number in range(3):
        assert len(client.reply_of("big", 50_000, req_id=b"%d" % number)["return"]) == 50_000
        network.advance(1)


# -- no threads, and threads that wait for each other


def test_without_a_thread_calls_are_refused_and_signals_wait(
    start: Start,
    client: RawClient,
    service: Service,
    network: MemoryNetwork,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start(threads=2)
    delivered = delivered_to(client)
    service.go_on.set()
    no_threads(monkeypatch)
    client.signal("blocking_signal", 1)
    client.call("echo", 2)
    network.advance(5)
    assert "busy" in str(client.replies[0]["exception"])
    assert (service.begun, delivered[:1]) == ([], [])
    assert caplog.text.count("can't start new thread") == 1
    monkeypatch.undo()
    network.advance(TICK)
    client.until(lambda: delivered)
    assert service.done == [1]
    assert client.reply_of("echo", 2)["return"] == 2


def test_threads_that_wait_for_each_other_are_told_in_the_log(
    start: Start,
    client: RawClient,
    service: Service,
    network: MemoryNetwork,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start(threads=2)
    occupy(client, service, threads=2)
    for number in range(3):
        client.call("echo", number, req_id=b"%d" % number)
    network.advance(STUCK_AFTER - 1)
    assert "busy" not in caplog.text
    network.advance(2)
    assert "all 2 threads have been busy for 5 s while 3 requests wait" in caplog.text
    assert "'object.block' (2)" in caplog.text
    network.advance(TELL_AGAIN_AFTER - 5)
    assert caplog.text.count("have been busy") == 1
    network.advance(10)
    assert caplog.text.count("have been busy") == 2
    service.go_on.set()
    client.until(lambda: len(client.replies) == 5)


def test_busy_threads_that_get_something_done_are_not_told(
    start: Start,
    client: RawClient,
    service: Service,
    network: MemoryNetwork,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = start(threads=1)
    occupy(client, service)
    client.call("echo", 1, req_id=b"1")
    for _ in range(10):
        network.advance(STUCK_AFTER - 1)
        server._dispatcher.pool.finished += 1
    assert "busy" not in caplog.text


@pytest.mark.parametrize("limit", ["max_waiting", "max_waiting_bytes"])
def test_limits_have_to_make_sense(server_node: Node, limit: str) -> None:
    with pytest.raises(ValueError, match="max_waiting"):
        RpcServer(server_node.hook, **{limit: -1})  # type: ignore[arg-type]


def test_a_message_that_is_not_a_request_is_acknowledged_at_once(
    start: Start, client: RawClient, network: MemoryNetwork
) -> None:
    start(threads=1)
    delivered = delivered_to(client)
    client.messaging.send_message("server", Message(b"of the application", 60))
    network.run_until_idle()
    assert len(delivered) == 1


@pytest.mark.parametrize("kind", ["repeated", "busy"])
def test_no_kind_of_answer_piles_up_for_a_client_that_reads_nothing(
    start: Start,
    client: RawClient,
    server_node: Node,
    service: Service,
    network: MemoryNetwork,
    kind: str,
) -> None:
    start(threads=1, max_waiting=0, max_unread_bytes=100_000)
    if kind == "busy":
        occupy(client, service)
    client.reply_of("big_inline", 50_000, req_id=b"0")
    conn_id = client.link.connections[0]
    client.link.pause_reading(conn_id, "test")
    for _ in range(1000):
        if kind == "repeated":
            client.call("big_inline", 50_000, req_id=b"0")
        else:
            client.call("echo", req_id=b"1")
    network.advance(5)
    _, size = server_node.messaging.outstanding("client")
    assert 0 < size < 250_000
    client.link.resume_reading(conn_id, "test")
    client.replies.clear()
    network.run_until(lambda: len(client.replies) == 1000, timeout=60)


def test_what_absent_clients_have_left_is_bounded_here_too(
    node: MakeNode, raw_client: MakeRawClient, service: Service, network: MemoryNetwork
) -> None:
    """Messaging forgets it, and the server with it; the client sends it again."""
    server_node = node("server", max_unprocessed_bytes=20_000)
    server = RpcServer(server_node.hook, threads=1)
    server.register_object(service, "object")
    blocker = raw_client("blocker")
    blocker.connect(server_node)
    occupy(blocker, service)
    clients = [raw_client(f"client {number}") for number in range(10)]
    for number, client in enumerate(clients):
        conn_id = client.connect(server_node)
        for part in range(2):
            client.call("echo", number, bytes(2000), req_id=b"%d" % part)
        client.signal("blocking_signal", number, bytes(2000))
        network.run_until_idle()
        network.disconnect(conn_id)
        network.run_until_idle()
    assert server._dispatcher._backlog.bytes < 25_000
    first = clients[0]
    first.connect(server_node)
    service.go_on.set()
    first.until(lambda: len(first.replies) == 2)
    first.until(lambda: service.done.count(0) == 1)
    assert service.begun.count(0) == 3
    server.close()


@pytest.mark.parametrize("kind", ["busy", "refused", "names no call"])
def test_an_answer_to_a_client_that_is_gone_causes_no_warning(
    start: Start,
    client: RawClient,
    server_node: Node,
    service: Service,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    class ClosingPickler(SafePickler):
        is_armed = False

        def loads(self, data: bytes) -> Any:
            if self.is_armed:
                server_node.link.close(server_node.link.connections[0])
            return super().loads(data)

    pickler = ClosingPickler()
    start(pickler=pickler, threads=1, max_waiting=0)
    occupy(client, service)
    pickler.is_armed = True
    bodies = {
        "busy": dumps_call("echo", "busy"),
        "refused": dumps_call("echo", Fraction(1, 2)),
        "names no call": b"garbage",
    }
    client.send(bodies[kind])
    client.until(lambda: server_node.disconnected)
    server_node.network.run_until_idle()
    assert [r.getMessage() for r in caplog.records if "ttl" in r.getMessage()] == []
    assert service.begun == []


def dumps_call(method: str, *args: Any) -> bytes:
    request = {"command": "call", "object": "object", "method": method}
    return pickle.dumps({"req_id": b"a call", **request, "args": args, "kwargs": {}}, 4)
