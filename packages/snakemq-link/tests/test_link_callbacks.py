"""Callbacks of a link, and what they may do: raise, close, send."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from real_links import LOCALHOST, DiaryLink, connect, pass_once, plain_client, run_until

from snakemq.link.testing import FakeClock

NewLink = Callable[..., DiaryLink]


# -- exceptions of callbacks


def test_exceptions_of_callbacks_are_logged_and_stop_nothing(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    def bad(name: str) -> Callable[..., None]:
        def raise_it(*_: object) -> None:
            raise ZeroDivisionError(name)

        return raise_it

    names = ("on_recv", "on_ready_to_send", "on_disconnect", "on_loop_pass")
    for name in names:
        event = getattr(link, name)
        event.add(bad(name))
    link.call_later(0, bad("a timer"))
    link.call_from_thread(bad("call_from_thread"))
    here, there = connect(link, other)
    link.send(here, b"x")
    other.send(there, b"x")
    run_until(lambda: link.sent[here] and link.received[here], link, other)
    link.close(here)
    for name in (*names, "a timer", "call_from_thread"):
        assert f"ZeroDivisionError: {name}\n" in caplog.text


def test_connection_is_closed_if_a_callback_of_on_connect_raises(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    def check(conn_id: str) -> None:
        raise ZeroDivisionError

    link.on_connect.add(check)
    other.add_connector(link.add_listener(("127.0.0.1", 0)))
    run_until(lambda: other.disconnected, link, other)
    assert not link.open
    assert [r.levelname for r in caplog.records if r.exc_info] == ["ERROR"]


def test_exception_of_the_driver_itself_does_not_end_the_loop(
    link: DiaryLink, other: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None is known, but the loop of a peer must survive the first one that is found."""
    here, there = connect(link, other)

    def out_of_memory(*_: object) -> None:
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr(link.get_socket_by_conn(here), "recv", out_of_memory)
    other.send(there, b"x")
    run_until(lambda: link.received[here] == b"x", link, other)


def test_callback_that_closes_other_connections_of_the_same_pass(
    link: DiaryLink, other: DiaryLink
) -> None:
    pairs = [connect(link, other) for _ in range(4)]
    link.on_recv.add(lambda *_: [link.close(conn_id) for conn_id in link.open])
    for _, there in pairs:
        other.send(there, b"x")
    run_until(lambda: len(link.disconnected) >= 4, link)
    assert len(link.received) == 1
    assert sorted(link.disconnected) == sorted(here for here, _ in pairs)


def test_an_on_connect_that_always_raises_is_logged_once_a_minute(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock(1000.0)
    link._loop.time = clock.time

    def check(conn_id: str) -> None:
        raise ZeroDivisionError("no check")

    link.on_connect.add(check)
    address = link.add_listener(LOCALHOST)

    def come(count: int) -> None:
        for number in range(len(link.disconnected) + 1, len(link.disconnected) + 1 + count):
            with plain_client(address):
                run_until(lambda n=number: len(link.disconnected) == n, link)  # type: ignore[misc]

    come(3)
    assert caplog.text.count("ZeroDivisionError: no check\n") == 1
    clock.advance(60.0)
    come(1)
    assert caplog.text.count("ZeroDivisionError: no check\n") == 2
    assert "a callback of on_connect raised (and 2 times more that were not logged)" in caplog.text


def test_a_connection_closed_in_on_connect_is_not_told_to_later_callables(
    new_link: NewLink,
) -> None:
    link = new_link()
    told: list[str] = []
    link.on_connect.add(link.close)  # a filter of addresses, say
    link.on_connect.add(told.append)
    with plain_client(link.add_listener(LOCALHOST)):
        run_until(lambda: link.disconnected, link)
    assert told == []


def test_callables_of_all_events_are_called_in_the_order_they_were_added(
    link: DiaryLink, other: DiaryLink
) -> None:
    calls: dict[str, list[int]] = {}
    names = ("on_connect", "on_recv", "on_ready_to_send", "on_disconnect", "on_loop_pass")

    def note(name: str, number: int) -> Callable[..., None]:
        return lambda *_: calls.setdefault(name, []).append(number)

    for name in names:
        for number in range(3):
            getattr(link, name).add(note(name, number))
    here, there = connect(link, other)
    link.send(here, b"x")
    other.send(there, b"x")
    run_until(lambda: link.received[here] and link.sent[here], link, other)
    link.close(here)
    for name in names:
        assert calls[name][:3] == [0, 1, 2]


# -- what send says


def test_send_takes_bytes_only_and_a_refused_one_leaves_nothing_behind(
    link: DiaryLink, other: DiaryLink
) -> None:
    here, there = connect(link, other)
    for wrong in ("text", None, 5, [1]):
        with pytest.raises(TypeError, match=r"bytes"):
            link.send(here, wrong)  # type: ignore[arg-type]
    link.send(here, b"right")
    run_until(lambda: other.received[there] == b"right", link, other)


def test_what_had_arrived_is_handed_over_although_sending_failed_first(link: DiaryLink) -> None:
    """The peer sends more than one read takes, and closes without reading what it got."""
    with plain_client(link.add_listener(LOCALHOST)) as client:
        run_until(lambda: link.connected, link)
        (conn_id,) = link.connected
        link.send(conn_id, b"never read")
        pass_once(link)
        client.setblocking(False)
        size = client.send(bytes(100_000))
    # the connection is broken by now, but the loop has not seen the data yet
    link.send(conn_id, b"x")
    run_until(lambda: link.disconnected, link)
    assert len(link.received[conn_id]) == size > 65536


def test_peer_that_sends_and_no_longer_reads_does_not_hold_up_the_loop(
    link: DiaryLink, tmp_path: Path
) -> None:
    """Over a Unix socket sending to it fails at once, while there is always something to read."""
    path = link.add_listener(str(tmp_path / "peer.socket"))
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(link.time())
        link.call_later(0, tick)

    with plain_client(path, socket.AF_UNIX) as client:
        run_until(lambda: link.connected, link)
        (conn_id,) = link.connected
        client.shutdown(socket.SHUT_RD)
        client.setblocking(False)

        def chatter(*_: object) -> None:
            with contextlib.suppress(BlockingIOError):
                while True:
                    client.send(bytes(65536))

        chatter()
        # As quick as another process could be, up to a bound that lets the test fail.
        link.on_recv.add(lambda *_: len(link.received[conn_id]) < 100_000_000 and chatter())
        link.call_later(0, tick)
        link.send(conn_id, b"nobody reads it")
        run_until(lambda: link.disconnected, link)
    assert len(link.received[conn_id]) < 32_000_000
    assert len(ticks) > 8
