"""Ctrl-C comes anywhere, also in the middle of closing a connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

import pytest
from real_links import (
    LOCALHOST,
    DiaryLink,
    connect,
    pass_once,
    plain_client,
    run_until,
    running,
    wait_for,
)

from snakemq.link import BytesLike, Link, LinkSocket

NewLink = Callable[..., DiaryLink]


class Interrupt:
    """A callback that Ctrl-C interrupts the first time."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, *_: object) -> None:
        self.calls += 1
        if self.calls == 1:
            raise KeyboardInterrupt


def interrupted_run(link: DiaryLink, other: DiaryLink) -> None:
    """Run both until Ctrl-C comes in a callback of ``link``."""
    with pytest.raises(KeyboardInterrupt):
        run_until(lambda: False, link, other)


def talk(link: DiaryLink, other: DiaryLink) -> None:
    """Wait for a connection that carries bytes both ways."""

    def passes_bytes() -> bool:
        for side in (link, other):
            for conn_id in side.open:
                ready = side.get_socket_by_conn(conn_id).sending is None
                if ready and conn_id not in asked:
                    asked.add(conn_id)
                    side.send(conn_id, b"still here")
        return all(
            any(side.received[conn_id].endswith(b"still here") for conn_id in side.open)
            for side in (link, other)
        )

    asked: set[str] = set()
    run_until(passes_bytes, link, other)


EVENTS = ("on_connect", "on_disconnect", "on_recv", "on_ready_to_send", "on_loop_pass")


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("who", ["dials", "listens"])
def test_loop_goes_on_as_before_after_an_interrupted_callback(
    link: DiaryLink, other: DiaryLink, event: str, who: str
) -> None:
    interrupt = Interrupt()
    if event == "on_connect":
        link.on_connect.add(interrupt)
        with pytest.raises(KeyboardInterrupt):
            connect(*((other, link) if who == "dials" else (link, other)))
    else:
        there, here = connect(other, link) if who == "dials" else connect(link, other)[::-1]
        getattr(link, event).add(interrupt)
        link.send(here, b"x")
        other.send(there, b"x")
        if event == "on_disconnect":
            run_until(lambda: link.received[here] and other.received[there], link, other)
            other.close(there)
        interrupted_run(link, other)
    talk(link, other)


@pytest.mark.parametrize("plan", ["call_later", "call_from_thread"])
def test_calls_after_an_interrupted_one_are_still_made(link: DiaryLink, plan: str) -> None:
    made = threading.Event()
    for func in (Interrupt(), made.set):
        if plan == "call_later":
            link.call_later(0, func)
        else:
            link.call_from_thread(func)
    with pytest.raises(KeyboardInterrupt):
        link.loop(runtime=10)
    assert not made.is_set()
    assert plan == "call_later" or link._loop._sleep_time(None, None) == 0
    pass_once(link)
    assert made.is_set()


def test_interrupted_on_loop_pass_is_called_again_without_a_sleep(link: DiaryLink) -> None:
    """Otherwise what it has not done yet would wait for the next event: packets to send, say."""
    interrupt = Interrupt()
    link.on_loop_pass.add(interrupt)
    with pytest.raises(KeyboardInterrupt):
        link.loop(runtime=0)
    link.on_loop_pass.add(link.stop)
    link.loop(poll_timeout=60, runtime=60)
    assert interrupt.calls == 2


def test_reports_of_sends_after_an_interrupted_one_are_still_made(
    link: DiaryLink, other: DiaryLink
) -> None:
    connections = [connect(other, link)[1] for _ in range(3)]
    link.on_ready_to_send.add(Interrupt())
    for conn_id in connections:
        link.send(conn_id, b"x")
    with pytest.raises(KeyboardInterrupt):
        link.loop(runtime=10)
    assert link.disconnected == connections[:1]
    pass_once(link)
    assert [link.sent[conn_id] for conn_id in connections[1:]] == [1, 1]


def test_connection_is_dropped_if_a_send_is_interrupted(
    link: DiaryLink, other: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, here = connect(other, link)
    conn = link.get_socket_by_conn(here)
    send = conn.send

    def interrupted(data: BytesLike) -> int:
        monkeypatch.undo()
        send(data)
        raise KeyboardInterrupt

    monkeypatch.setattr(conn, "send", interrupted)
    with pytest.raises(KeyboardInterrupt):
        link.send(here, b"x")
    assert not link.disconnected  # never within send()
    run_until(lambda: link.disconnected == [here], link, other)
    talk(link, other)


def test_loop_can_be_entered_again_after_an_interrupt_at_its_beginning(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter = link._loop._enter_loop

    def interrupted() -> None:
        monkeypatch.undo()
        enter()
        raise KeyboardInterrupt

    monkeypatch.setattr(link._loop, "_enter_loop", interrupted)
    with pytest.raises(KeyboardInterrupt):
        link.loop()
    assert not link.in_loop()
    link.loop(runtime=0)


def fall_asleep(link: DiaryLink) -> None:
    while not link._loop._sleeping:
        time.sleep(0)


def interrupt_ring(link: DiaryLink, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(link._loop._wakeup, "ring", interrupted)


def test_interrupted_wakeup_does_not_keep_the_next_one_from_the_loop(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = threading.Event()
    with running(link):
        fall_asleep(link)
        interrupt_ring(link, monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            link.wakeup_poll()
        link.call_from_thread(called.set)
        wait_for(called)


def test_stop_rings_even_if_another_thread_is_about_to_ring(link: DiaryLink) -> None:
    """A thread may be interrupted after it has noted that it rings, and before it rings."""
    with running(link):
        fall_asleep(link)
        link._loop._wakeup_pending = True


@pytest.mark.parametrize("when", ["before", "after"])
def test_cleanup_ends_after_an_interrupted_close(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Link()
    address = link.add_listener(("127.0.0.1", 0))
    assert not isinstance(address, str)
    shut = LinkSocket.shut

    def interrupted(conn: LinkSocket) -> None:
        monkeypatch.setattr(LinkSocket, "shut", shut)
        if when == "after":
            shut(conn)
        raise KeyboardInterrupt

    link.on_connect.add(lambda conn_id: monkeypatch.setattr(LinkSocket, "shut", interrupted))
    with socket.create_connection(address):
        link.on_connect.add(link.close)
        with pytest.raises(KeyboardInterrupt):
            link.loop(runtime=10)
        link.cleanup()


def test_connection_is_dropped_if_the_callback_with_its_data_is_interrupted() -> None:
    link = Link()
    address = link.add_listener(("127.0.0.1", 0))
    assert not isinstance(address, str)
    closed: list[str] = []

    def interrupted(conn_id: str, data: bytes) -> None:
        raise KeyboardInterrupt

    link.on_recv.add(interrupted)
    link.on_disconnect.add(closed.append)
    with socket.create_connection(address) as peer:
        peer.sendall(b"half of it is lost")
        with pytest.raises(KeyboardInterrupt):
            link.loop(runtime=10)
        assert len(closed) == 1
        peer.settimeout(10)
        assert peer.recv(1) == b""
    link.cleanup()


def test_connector_dials_again_after_an_interrupted_report_of_a_failure(
    link: DiaryLink, other: DiaryLink
) -> None:
    address = other.add_listener(LOCALHOST)
    other.del_listener(address)
    link.on_connect_failed.add(Interrupt())
    link.add_connector(address)
    with pytest.raises(KeyboardInterrupt):
        link.loop(runtime=10)
    other.add_listener(address)
    run_until(lambda: link.open, link, other)


def test_connector_dials_again_after_an_interrupted_report_of_a_refusal(
    link: DiaryLink, other: DiaryLink
) -> None:
    _, here = connect(other, link)
    link.on_connect_failed.add(Interrupt())
    link.report_failure(here, ValueError("not the one"))
    with pytest.raises(KeyboardInterrupt):
        link.close(here)
    run_until(lambda: link.open, link, other)


@pytest.mark.parametrize("where", ["in a callback", "outside of the loop"])
def test_cleanup_that_was_interrupted_is_finished_by_the_next_one(
    link: DiaryLink, other: DiaryLink, where: str
) -> None:
    for _ in range(3):
        connect(other, link)
    closed: list[bool] = []
    link.on_closed.add(lambda: closed.append(True))
    link.on_disconnect.add(Interrupt())
    if where == "in a callback":
        link.call_later(0, link.cleanup)
    end = link.loop if where == "in a callback" else link.cleanup
    with pytest.raises(KeyboardInterrupt):
        end()
    assert not closed
    link.cleanup()
    assert len(link.disconnected) == 3
    assert closed == [True]
    assert len(link._loop.poller) == 0
    run_until(lambda: len(other.disconnected) >= 3, other)
    link.cleanup()
    assert closed == [True]


def test_newcomer_is_closed_if_the_search_for_its_place_is_interrupted(new_link: NewLink) -> None:
    link = new_link(max_connections=0)
    link.on_crowded.add(Interrupt())
    address = link.add_listener(LOCALHOST)
    with plain_client(address) as client:
        with pytest.raises(KeyboardInterrupt):
            link.loop(runtime=10)
        assert client.recv(1) == b""
