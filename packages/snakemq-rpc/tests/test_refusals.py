"""Clients that break the rules: told why, disconnected, and nothing is executed."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from rpc_peers import MakeNode, MakeRawClient, RawClient

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.rpc import Error, RpcServer


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


class Unregistered:
    def __repr__(self) -> str:  # in the names of tests, which are to be the same in every process
        return "Unregistered()"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"garbage", id="garbage"),
        pytest.param(pickle.dumps(REQUEST | {"req_id": REQ_ID})[:-5], id="truncated"),
        pytest.param(pickle.dumps([1, 2]), id="no dict"),
        pytest.param(pickle.dumps(None), id="None"),
        pytest.param(pickle.dumps(REQUEST), id="no req_id"),
        pytest.param(pickle.dumps(REQUEST | {"req_id": "text"}), id="wrong req_id"),
        pytest.param(pickle.dumps({"command": "signal"}), id="no object"),
    ],
)
def test_a_broken_request_costs_the_connection(
    server: RpcServer, client: RawClient, body: bytes, service: Service
) -> None:
    client.send(body)
    client.network.run_until_idle()
    assert client.disconnected == ["server"]
    assert service.calls == []
    reconnected(client)
    assert client.reply_of("echo")["ok"]


def reconnected(client: RawClient) -> None:
    client.network.connect(client.link, client.network.links["server"])
    client.network.run_until_idle()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"args": (Unregistered(),)}, "Unregistered"),
        ({"command": "run"}, "command"),
        ({"object": 1}, "object"),
        ({"args": [1]}, "argument"),
    ],
    ids=str,
)
def test_a_refused_call_is_told_why_and_costs_the_connection(
    server: RpcServer,
    client: RawClient,
    service: Service,
    change: dict[str, Any],
    text: str,
) -> None:
    errors: list[Exception] = []
    server.receive_hook.messaging.on_error.add(lambda _conn_id, exc: errors.append(exc))
    client.call("echo", **change)
    client.network.run_until_idle()
    assert client.disconnected == ["server"]
    assert [type(error) for error in errors] == [SnakeMQBrokenMessage]
    assert text in str(errors[0])
    assert service.calls == []
    reconnected(client)
    reply = client.replies[0]
    assert reply["req_id"] == REQ_ID
    assert type(reply["exception"]) is Error
    assert text in str(reply["exception"])


def test_why_it_was_refused_is_private_like_exceptions(
    server: RpcServer, client: RawClient
) -> None:
    server.transfer_exceptions = False
    client.call("echo", Unregistered())
    client.network.run_until_idle()
    reconnected(client)
    assert str(client.replies[0]["exception"]) == "request refused"


def test_hostile_requests_do_not_execute_anything(
    server: RpcServer, client: RawClient, service: Service
) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return exec, ("raise SystemExit",)

    client.call("echo", Evil())
    client.network.run_until_idle()
    assert client.disconnected == ["server"]
    assert service.calls == []
