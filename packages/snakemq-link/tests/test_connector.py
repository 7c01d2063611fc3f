"""Dialling: names, endpoints, answers that fail to come, and connectors that are deleted."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real_links import (
    DEADLINE,
    LOCALHOST,
    DiaryLink,
    black_hole,
    connect,
    pass_once,
    plain_listener,
    run_until,
    running,
    wait_for,
)
from resolver import NAME, Resolver, endpoint

from snakemq.exceptions import LoopError
from snakemq.link._dialling._connector import Connector
from snakemq.link._dialling._endpoint import Endpoint

NewLink = Callable[..., DiaryLink]


def refused() -> Endpoint:
    with plain_listener() as sock:
        return endpoint(sock.getsockname())


# -- names


def test_name_is_resolved_at_every_dial_in_another_thread(
    link: DiaryLink, other: DiaryLink, resolver: Resolver
) -> None:
    first, second = other.add_listener(LOCALHOST), other.add_listener(LOCALHOST)
    resolver.answers = [endpoint(first)]
    link.add_connector(NAME)
    run_until(lambda: link.open and other.open, link, other)
    assert link.get_socket_by_conn(link.open[0]).remote_peer == first

    resolver.answers = [endpoint(second)]  # it has moved
    other.close(other.open[0])
    run_until(lambda: len(link.connected) == 2 and link.open, link, other)
    assert link.get_socket_by_conn(link.open[0]).remote_peer == second
    assert resolver.asked == [NAME, NAME]
    assert threading.main_thread() not in resolver.threads


def test_resolver_that_blocks_forever_does_not_block_the_loop(
    link: DiaryLink, other: DiaryLink, resolver: Resolver
) -> None:
    asked, released = threading.Event(), threading.Event()
    resolver.before_answer = lambda: (asked.set(), released.wait())
    link.add_connector(NAME)
    pass_once(link)
    wait_for(asked)
    try:
        connect(other, link)
        link.del_connector(NAME)
        link.add_connector(NAME)
        link.cleanup()  # cleanup does not wait for it either
    finally:
        released.set()
        for thread in resolver.threads:
            thread.join()


def test_name_that_is_not_found_is_asked_for_again(
    link: DiaryLink, other: DiaryLink, resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "snakemq.link")
    link.add_connector(NAME)
    run_until(lambda: len(resolver.asked) == 3, link)
    assert "cannot resolve 'peer.example.org': [Errno -2] no such name" in caplog.text
    resolver.answers = [endpoint(other.add_listener(LOCALHOST))]
    run_until(lambda: link.open, link, other)


def test_system_without_a_thread_to_spare_is_asked_again_later(
    link: DiaryLink, other: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = other.add_listener(LOCALHOST)
    start = threading.Thread.start
    refusals = iter((True, True))

    def start_unless_refused(thread: threading.Thread) -> None:
        if next(refusals, False):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_unless_refused)
    link.add_connector(("localhost", int(address[1])))
    run_until(lambda: link.open, link, other)


# -- endpoints


def test_endpoints_are_tried_in_their_order_until_one_answers(
    link: DiaryLink, other: DiaryLink, resolver: Resolver
) -> None:
    address = other.add_listener(LOCALHOST)
    unreachable = Endpoint(socket.AF_INET, ("255.255.255.255", 9))
    unknown_family = Endpoint(12345, ("", 0))
    resolver.answers = [refused(), unreachable, unknown_family, endpoint(address), refused()]
    link.add_connector(NAME)
    run_until(lambda: link.open and other.open, link, other)
    assert len(resolver.asked) == 1
    assert link.get_socket_by_conn(link.open[0]).remote_peer == address


def test_endpoint_that_does_not_answer_is_given_up_in_time(
    new_link: NewLink, resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    link = new_link(connect_timeout=1.0)
    with black_hole() as silent:
        resolver.answers = [endpoint(silent), refused()]
        link.add_connector(NAME)
        run_until(lambda: len(resolver.asked) == 2, link)
    assert complaints(caplog) == [
        f"cannot connect to {NAME!r}: Connection refused, no answer in 1 s; trying again"
    ]


def test_a_late_answer_is_not_taken_for_the_next_attempt(
    new_link: NewLink, resolver: Resolver
) -> None:
    """The deadline of an attempt that has succeeded must not end the connection."""
    link, other = new_link(connect_timeout=0.05), new_link()
    connect(other, link)
    link.loop(runtime=0.1)
    assert link.open


def test_full_unix_listener_is_dialled_again_and_the_loop_lives(
    link: DiaryLink, tmp_path: Path
) -> None:
    """A Unix socket says EAGAIN where TCP says EINPROGRESS, and then nothing is in progress."""
    path = str(tmp_path / "peer.socket")
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as waiting:
        full.bind(path)
        full.listen(0)
        waiting.connect(path)
        link.add_connector(path)
        link.loop(runtime=0.1)
        assert not link.connected
        full.accept()[0].close()
        run_until(lambda: link.connected, link)


def test_connector_waits_until_somebody_listens_on_a_unix_path(
    link: DiaryLink, other: DiaryLink, tmp_path: Path
) -> None:
    path = str(tmp_path / "peer.socket")
    link.add_connector(path)
    link.loop(runtime=0.05)
    other.add_listener(path)
    run_until(lambda: link.open and other.open, link, other)
    assert link.get_socket_by_conn(link.open[0]).remote_peer == path


def test_connection_of_a_socket_to_itself_is_refused(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It happens rarely, when a local port without a listener is dialled often. Force it."""
    with plain_listener() as sock:
        free = sock.getsockname()
    create = socket.socket

    def bound_to_the_target(*args: object, **options: object) -> socket.socket:
        sock = create(*args, **options)  # type: ignore[arg-type]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(free)
        return sock

    with monkeypatch.context() as patch:
        patch.setattr("snakemq.link._dialling._connector.socket.socket", bound_to_the_target)
        link.add_connector(free)
        link.loop(runtime=0.1)
        assert not link.connected
    link.add_listener(free)
    run_until(lambda: len(link.open) == 2, link)


def test_connection_that_is_reset_before_it_was_noticed_is_dialled_again(
    link: DiaryLink, other: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets = iter((True, True))
    getpeername = socket.socket.getpeername

    def sometimes_reset(sock: socket.socket) -> object:
        if next(resets, False):
            raise OSError(107, "Transport endpoint is not connected")
        return getpeername(sock)

    monkeypatch.setattr(
        "snakemq.link._dialling._connector.socket.socket.getpeername", sometimes_reset
    )
    connect(other, link)
    assert next(resets, None) is None


# -- what a person is told


def complaints(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name == "snakemq.link"
    ]


def test_first_failure_of_a_series_is_a_warning_and_the_others_are_not(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "snakemq.link")
    address = other.add_listener(LOCALHOST)
    other.del_listener(address)
    link.add_connector(address)
    other.on_connect.add(lambda conn_id: other.send(conn_id, b"welcome"))
    for series in range(1, 3):
        failed = caplog.text.count("cannot connect to")
        run_until(lambda: caplog.text.count("cannot connect to") >= failed + 3, link)  # noqa: B023
        expected = f"cannot connect to {address!r}: Connection refused; trying again"
        assert complaints(caplog) == [expected] * series
        other.add_listener(address)
        run_until(lambda: any(link.received.values()) and link.open, link, other)
        other.del_listener(address)
        other.close(other.open[0])
        run_until(lambda: not link.open, link)
        link.received.clear()
        assert re.search(r"connected again to .* after [0-9]+ failed attempts", caplog.text)


def test_name_that_is_not_found_is_a_warning_once(
    link: DiaryLink, resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    link.add_connector(NAME)
    run_until(lambda: len(resolver.asked) == 4, link)
    (warning,) = complaints(caplog)
    assert repr(NAME) in warning
    assert "cannot resolve 'peer.example.org': [Errno -2] no such name" in warning


def test_endpoints_before_the_one_that_answers_cause_no_warning(
    link: DiaryLink, other: DiaryLink, resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    """Such as ::1, which is often the first address of localhost."""
    resolver.answers = [refused(), endpoint(other.add_listener(LOCALHOST))]
    link.add_connector(NAME)
    run_until(lambda: link.open and other.open, link, other)
    assert complaints(caplog) == []


# -- what add_connector takes and says


def test_connector_returns_its_address_and_is_deleted_by_it(
    link: DiaryLink, other: DiaryLink
) -> None:
    _, port = other.add_listener(LOCALHOST)
    address = link.add_connector(("localhost", int(port)))
    assert address == ("localhost", port)
    run_until(lambda: link.open and other.open, link, other)
    link.del_connector(address)
    assert link.disconnected == link.connected
    run_until(lambda: not other.open, link, other)
    with pytest.raises(KeyError):
        link.del_connector(address)


def test_second_connector_to_an_address_is_refused(link: DiaryLink) -> None:
    link.add_connector(("localhost", 4000))
    with pytest.raises(ValueError, match="already"):
        link.add_connector(("localhost", 4000))


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_reconnect_interval_is_above_zero(link: DiaryLink, interval: float) -> None:
    with pytest.raises(ValueError, match="reconnect_interval"):
        link.add_connector(("localhost", 4000), reconnect_interval=interval)
    link.add_connector(("localhost", 4000))  # the refused one has left nothing behind


def test_link_knows_who_dialled_and_the_address_of_the_other_side(
    link: DiaryLink, other: DiaryLink
) -> None:
    here, there = connect(link, other)
    listening, dialling = link.get_socket_by_conn(here), other.get_socket_by_conn(there)
    assert dialling.is_connector
    assert not listening.is_connector
    assert dialling.remote_peer == listening.sock.getsockname()
    assert listening.remote_peer == dialling.sock.getsockname()
    assert here in repr(listening)


def test_connector_can_be_added_from_another_thread_while_the_loop_sleeps(
    link: DiaryLink, other: DiaryLink
) -> None:
    connected = threading.Event()
    link.on_connect.add(lambda _: connected.set())
    address = other.add_listener(LOCALHOST)
    with running(link, other):
        link.add_connector(address)
        wait_for(connected)


def test_one_of_two_threads_that_add_the_same_connector_at_once_is_refused(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2, timeout=DEADLINE)

    def connector(*args: Any) -> Connector:
        both.wait()
        return Connector(*args)

    monkeypatch.setattr("snakemq.link._dialling._connector.Connector", connector)
    outcomes: list[str] = []

    def add() -> None:
        try:
            link.add_connector(("127.0.0.1", 4000))
            outcomes.append("added")
        except ValueError:
            outcomes.append("refused")

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert sorted(outcomes) == ["added", "refused"]


def test_connector_that_is_added_during_cleanup_is_refused(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connector(*args: Any) -> Connector:
        link.cleanup()
        return Connector(*args)

    monkeypatch.setattr("snakemq.link._dialling._connector.Connector", connector)
    with pytest.raises(LoopError):
        link.add_connector(("127.0.0.1", 4000))
    assert not link._dialling.connectors
