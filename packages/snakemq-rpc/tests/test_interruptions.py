"""Signal handlers and finalizers that make calls while their thread is making, ending or sending
one: nothing stands still, and no call is lost.

A trace function stands for both: Python runs it before any line of the thread, as it does them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
from rpc_peers import MakeNode, Node, in_thread, result

import snakemq.rpc
from snakemq.rpc import RpcClient, RpcInstProxy, RpcServer, inline

HERE = str(Path(snakemq.rpc.__file__).parent)


class Interrupted:
    """Runs ``handler`` before the line with this number of those that the block runs in RPC."""

    def __init__(self, number: int, handler: Callable[[], object]) -> None:
        self._remaining = number
        self._handler = handler
        self.has_come = False

    def _trace(self, frame: FrameType, event: str, _arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(HERE):
            return None
        if event == "line":
            self._remaining -= 1
            if self._remaining < 0 and not self.has_come:
                self.has_come = True
                sys.settrace(None)
                self._handler()
        return self._trace

    def __enter__(self) -> Interrupted:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(self._before)


class Echo:
    @inline
    def echo(self, value: int) -> int:
        return value


@pytest.fixture
def server_node(node: MakeNode) -> Node:
    server_node = node("server")
    RpcServer(server_node.hook).register_object(Echo(), "object")
    return server_node


@pytest.fixture
def proxy(client: RpcClient) -> RpcInstProxy:
    return client.get_proxy("server", "object")


def each_line(run: Callable[[int], Interrupted]) -> Iterator[Interrupted]:
    """Run something again and again, interrupted at one line later each time."""
    for number in range(10_000):
        interrupted = run(number)
        if not interrupted.has_come:
            assert number > 20, "no line was interrupted"
            return
        yield interrupted


def test_a_handler_that_makes_a_blocking_call_while_one_is_made(
    client_node: Node, server_node: Node, proxy: RpcInstProxy
) -> None:
    client_node.connect(server_node)
    inner: list[int] = []

    def run(number: int) -> Interrupted:
        interrupted = Interrupted(number, lambda: inner.append(proxy.echo(-1)))

        def call() -> int:
            with interrupted:
                return cast(int, proxy.echo(number))

        outer = in_thread(call)
        client_node.until(outer.done)
        assert result(outer) == number
        return interrupted

    for count, _ in enumerate(each_line(run), 1):
        assert inner == [-1] * count


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_handler_that_makes_a_future_while_one_is_made(
    client_node: Node, server_node: Node, proxy: RpcInstProxy, is_connected: bool
) -> None:
    if is_connected:
        client_node.connect(server_node)
    futures: list[Future[Any]] = []
    proxy.echo.set_timeout(60)

    def run(number: int) -> Interrupted:
        interrupted = Interrupted(number, lambda: futures.append(proxy.echo.future(1)))
        with interrupted:
            futures.append(proxy.echo.future(1))
        return interrupted

    for _ in each_line(run):
        pass
    if not is_connected:
        client_node.connect(server_node)
    client_node.network.run_until_idle()
    assert {future.result(0) for future in futures} == {1}


def test_a_handler_that_makes_a_future_while_the_loop_works(
    client_node: Node, server_node: Node, proxy: RpcInstProxy, client: RpcClient
) -> None:
    """The loop connects, sends what waits, takes the replies, and forgets the peer."""
    network = client_node.network
    proxy.echo.set_timeout(60)

    def run(number: int) -> Interrupted:
        futures = [proxy.echo.future(number)]
        interrupted = Interrupted(number, lambda: futures.append(proxy.echo.future(number)))
        with interrupted:
            client_node.connect(server_node)
            network.disconnect(client_node.link.connections[0])
            network.run_until_idle()
        client_node.connect(server_node)
        assert [future.result(0) for future in futures] == [number] * len(futures)
        network.disconnect(client_node.link.connections[0])
        client_node.link.wakeup_poll()
        network.run_until_idle()
        assert client._caller._outstanding.peers == {}
        return interrupted

    for _ in each_line(run):
        pass


def test_a_handler_that_cancels_the_future_that_the_loop_is_about_to_end(
    client_node: Node, server_node: Node, proxy: RpcInstProxy
) -> None:
    client_node.connect(server_node)
    proxy.echo.set_timeout(60)

    def run(number: int) -> Interrupted:
        future = proxy.echo.future(number)
        other = proxy.echo.future(number)
        interrupted = Interrupted(number, future.cancel)
        with interrupted:
            client_node.network.run_until_idle()
        assert future.cancelled() or future.result(0) == number
        assert other.result(0) == number
        return interrupted

    for _ in each_line(run):
        pass
