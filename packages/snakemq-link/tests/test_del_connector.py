"""Connectors that are deleted, in every state that they can be in."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from real_links import LOCALHOST, DiaryLink, pass_once, plain_listener, run_until
from resolver import NAME, Resolver, endpoint

NewLink = Callable[..., DiaryLink]


def test_deleted_before_the_loop_came_to_it(link: DiaryLink, resolver: Resolver) -> None:
    link.add_connector(NAME)
    link.del_connector(NAME)
    link.loop(runtime=0.01)
    assert not resolver.asked


def test_deleted_while_resolving(link: DiaryLink, other: DiaryLink, resolver: Resolver) -> None:
    resolver.answers = [endpoint(other.add_listener(LOCALHOST))]
    released = threading.Event()
    resolver.before_answer = released.wait
    link.add_connector(NAME)
    pass_once(link)
    link.del_connector(NAME)
    released.set()
    resolver.threads[0].join()
    link.loop(runtime=0.05)
    pass_once(other)
    assert not other.connected


def test_deleted_while_waiting_for_the_next_attempt(link: DiaryLink, other: DiaryLink) -> None:
    with plain_listener() as sock:
        address = sock.getsockname()
    link.add_connector(address)
    link.loop(runtime=0.02)
    link.del_connector(address)
    other.add_listener(address)
    link.loop(runtime=0.1)
    pass_once(other)
    assert not other.connected


def test_deleted_while_connecting(new_link: NewLink) -> None:
    link = new_link(connect_timeout=0.05)
    with plain_listener(backlog=0) as full, socket.socket() as waiting:
        waiting.connect(full.getsockname())
        link.add_connector(full.getsockname())
        pass_once(link)
        registered = len(link._loop.poller)
        link.del_connector(full.getsockname())
        assert len(link._loop.poller) == registered - 1
        link.loop(runtime=0.1)  # past the deadline of the attempt
        assert len(link._loop.poller) == registered - 1
    assert not link.connected


@pytest.mark.parametrize("event", ["on_connect", "on_recv", "on_disconnect"])
def test_deleted_inside_a_callback_of_its_connection(
    link: DiaryLink, other: DiaryLink, event: str
) -> None:
    address = other.add_listener(LOCALHOST)
    other.on_connect.add(lambda conn_id: other.send(conn_id, b"hello"))
    link.add_connector(address)
    getattr(link, event).add(lambda *_: link.del_connector(address))
    if event == "on_disconnect":
        run_until(lambda: other.open, link, other)
        other.close(other.open[0])
    run_until(lambda: link.disconnected, link, other)
    link.loop(runtime=0.1)
    pass_once(other)
    assert len(link.connected) == len(link.disconnected) == len(other.connected) == 1


def test_connector_that_is_replaced_inside_on_disconnect_dials_once(
    link: DiaryLink, other: DiaryLink
) -> None:
    address = other.add_listener(LOCALHOST)
    link.add_connector(address)
    run_until(lambda: other.open and link.open, link, other)

    def replace(_: str) -> None:
        link.del_connector(address)
        link.add_connector(address)

    link.on_disconnect.add(replace)
    other.close(other.open[0])
    run_until(lambda: len(link.connected) == 2, link, other)
    link.loop(runtime=0.1)
    pass_once(other)
    assert len(other.connected) == 2
