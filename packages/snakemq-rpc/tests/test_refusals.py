"""Requests that cannot be decoded: their calls end, others go on, and nothing is executed."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from rpc_peers import MakeNode, MakeRawClient, RawClient

from snakemq.rpc import Error, RpcServer, SafePickler


class Service:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def echo(self, *args: Any) -> Any:
        self.calls.append(args)
        return args


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def client(raw_client: MakeRawClient) -> RawClient:
    return raw_client()


@pytest.fixture
def server(node: MakeNode, client: RawClient, service: Service) -> RpcServer:
    server_node = node("server")
    server = RpcServer(server_node.hook, threads=0)
    server.register_object(service, "object")
    client.connect(server_node)
    return server


REQ_ID = b"0123456789abcdef"
REQUEST = {"command": "call", "object": "object", "method": "echo", "args": (), "kwargs": {}}
OF_16 = REQUEST | {"req_id": REQ_ID}
OURS = {"req_id": REQ_ID} | REQUEST


class Unregistered:
    def __repr__(self) -> str:  # in the names of tests, which are to be the same in every process
        return "Unregistered()"


def with_opcodes(request: dict[str, Any], protocol: int, opcodes: bytes) -> bytes:
    """The pickle of a request, with these opcodes as its only argument."""
    body = pickle.dumps(request | {"args": ("ARGUMENT",)}, protocol)
    assert body.count(b"ARGUMENT") == 1
    at = body.index(b"ARGUMENT")
    begin = at - {4: 2, 3: 5}[protocol]  # the opcode of the text and its length
    return body[:begin] + opcodes + body[at + len("ARGUMENT") :]


BROKEN = b"\xff"
DEEP = b"N" + 50_000 * b"\x85"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"garbage", id="garbage"),
        pytest.param(pickle.dumps(OF_16)[:-5], id="truncated before the id"),
        pytest.param(pickle.dumps(OURS)[:30], id="truncated in the id"),
        pytest.param(pickle.dumps([1, 2]), id="no dict"),
        pytest.param(pickle.dumps(None), id="None"),
        pytest.param(pickle.dumps(REQUEST), id="no req_id"),
        pytest.param(pickle.dumps(REQUEST | {"req_id": "text"}), id="wrong req_id"),
        pytest.param(pickle.dumps({"req_id": b""} | REQUEST), id="empty req_id"),
        pytest.param(pickle.dumps({"req_id": b"x" * 65} | REQUEST), id="long req_id"),
    ],
)
def test_a_request_that_names_no_call_costs_the_connection(
    server: RpcServer, client: RawClient, body: bytes, service: Service
) -> None:
    client.send(body)
    client.network.run_until_idle()
    assert client.disconnected == ["server"]
    assert service.calls == []
    reconnected(client)
    assert client.reply_of("echo")["ok"]


REFUSED = (
    [
        pytest.param(
            pickle.dumps(request | change, protocol), text, id=f"{whose}, {protocol}, {text}"
        )
        for whose, request in (("1.6", OF_16), ("ours", OURS))
        for protocol in (3, 4, 5)
        for change, text in (
            ({"args": (Unregistered(),)}, "Unregistered"),
            ({"kwargs": {"key": [Unregistered()]}}, "Unregistered"),
            ({"command": "run"}, "command"),
            ({"object": 1}, "object"),
            ({"args": [1]}, "argument"),
        )
    ]
    + [
        pytest.param(
            with_opcodes(request, protocol, opcodes), "", id=f"{whose}, {protocol}, {what}"
        )
        for whose, request, protocol in (("1.6", OF_16, 3), ("1.6", OF_16, 4), ("ours", OURS, 4))
        for what, opcodes in (("broken", BROKEN), ("deep", DEEP))
    ]
    + [
        pytest.param(pickle.dumps(OURS)[:-20], "", id="ours, truncated"),
        pytest.param(pickle.dumps(OURS) + b"more", "", id="ours, and more behind it"),
    ]
)


@pytest.mark.parametrize(("body", "text"), REFUSED)
def test_a_refused_call_is_answered_and_costs_nothing_else(
    server: RpcServer, client: RawClient, service: Service, body: bytes, text: str
) -> None:
    client.send(body)
    client.network.run_until_idle()
    (reply,) = client.replies
    assert reply["req_id"] == REQ_ID
    assert type(reply["exception"]) is Error
    assert "refused" in str(reply["exception"])
    assert text in str(reply["exception"])
    assert service.calls == []
    assert client.reply_of("echo", req_id=b"the next one")["ok"]
    assert client.disconnected == []


def test_the_first_id_is_that_of_the_call(server: RpcServer, client: RawClient) -> None:
    """Not one that the arguments hold."""
    other = {"req_id": b"fedcba9876543210", "more": 1}
    client.send(pickle.dumps(OURS | {"args": (other, Unregistered())}))
    client.send(pickle.dumps(OF_16 | {"args": (other, Unregistered())}))
    client.network.run_until_idle()
    assert [reply["req_id"] for reply in client.replies] == [REQ_ID] * 2


SIGNAL = REQUEST | {"command": "signal"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(pickle.dumps(SIGNAL | {"args": (Unregistered(),)}, 3), id="class"),
        pytest.param(pickle.dumps({"args": 0} | SIGNAL | {"args": (len,)}), id="class, first"),
        pytest.param(pickle.dumps(SIGNAL | {"object": 5}), id="object"),
        pytest.param(with_opcodes(SIGNAL, 3, BROKEN), id="broken"),
        pytest.param(with_opcodes(SIGNAL, 4, DEEP), id="deep"),
    ],
)
def test_a_refused_signal_is_logged_and_costs_nothing_else(
    server: RpcServer, client: RawClient, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client.send(body)
    client.network.run_until_idle()
    assert "a signal of 'client': request refused" in caplog.text
    assert client.reply_of("echo")["ok"]
    assert client.disconnected == []


class Exiting:
    def __setstate__(self, state: object) -> None:
        raise SystemExit("not to be made")

    def __getstate__(self) -> object:
        return {"a": 1}


def test_a_class_that_exits_when_it_is_made_is_refused(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    assert isinstance(server.pickler, SafePickler)
    server.pickler.register(Exiting)
    reply = client.reply_of("echo", Exiting())
    assert "not to be made" in str(reply["exception"])
    assert service.calls == []


def test_with_manual_ack_a_refused_call_is_acknowledged(
    node: MakeNode, raw_client: MakeRawClient
) -> None:
    server_node, client = node("server", manual_ack=True), raw_client()
    RpcServer(server_node.hook, threads=0)
    client.connect(server_node)
    client.call("echo", Unregistered())
    client.network.advance(1)
    assert len(client.replies) == 1
    assert client.messaging.stats().peers["server"].delivered == 1


def reconnected(client: RawClient) -> None:
    client.network.connect(client.link, client.network.links["server"])
    client.network.run_until_idle()


def test_why_it_was_refused_is_private_like_exceptions(
    server: RpcServer, client: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    server.transfer_exceptions = False
    client.call("echo", Unregistered())
    client.network.run_until_idle()
    assert str(client.replies[0]["exception"]) == "request refused"
    assert "Unregistered" in caplog.text


def test_hostile_requests_do_not_execute_anything(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return exec, ("raise SystemExit",)

    client.call("echo", Evil())
    client.network.run_until_idle()
    assert not client.replies[0]["ok"]
    assert service.calls == []
