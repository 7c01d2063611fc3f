"""Connections that come back, over real sockets; how long the waits are is in test_backoff.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from real_links import (
    LOCALHOST,
    DiaryLink,
    connect,
    pass_once,
    plain_listener,
    run_until,
    running,
    wait_for,
)

from snakemq.exceptions import LoopError
from snakemq.link.testing import FakeClock

NewLink = Callable[..., DiaryLink]


def test_connection_that_the_other_side_closes_is_made_again(
    link: DiaryLink, other: DiaryLink
) -> None:
    connect(link, other)
    for count in range(1, 6):
        link.close(link.open[0])
        run_until(lambda n=count: len(other.connected) > n and link.open, link, other)  # type: ignore[misc]
    assert len(set(other.connected)) == len(other.connected)  # ids are not reused


def test_connection_that_this_side_closes_is_made_again(link: DiaryLink, other: DiaryLink) -> None:
    connect(link, other)
    other.close(other.open[0])
    run_until(lambda: len(other.connected) == 2 and link.open, link, other)


def test_connection_that_is_closed_inside_on_connect_is_made_again(
    link: DiaryLink, other: DiaryLink
) -> None:
    other.on_connect.add(lambda conn_id: len(other.connected) < 4 and other.close(conn_id))
    connect(link, other)
    run_until(lambda: len(other.connected) == 4, link, other)
    assert len(other.open) == 1


def test_connector_waits_until_somebody_listens(link: DiaryLink, other: DiaryLink) -> None:
    with plain_listener() as sock:
        address = sock.getsockname()
    link.add_connector(address)
    link.loop(runtime=0.1)
    other.add_listener(address)
    run_until(lambda: link.open and other.open, link, other)


def test_restarted_listener_is_found_within_half_a_second(new_link: NewLink) -> None:
    """The clock measures what it found, not what the test waited for."""
    link, server = new_link(), new_link()
    address = server.add_listener(LOCALHOST)
    back = threading.Event()
    link.add_connector(address)
    run_until(lambda: link.open and server.open, link, server)
    server.cleanup()
    run_until(lambda: link.disconnected, link)
    gone_at = time.monotonic()
    link.loop(runtime=0.4)
    link.on_connect.add(lambda _: back.set())
    restarted = new_link()
    restarted.add_listener(address)
    away = time.monotonic() - gone_at
    with running(link, restarted):
        wait_for(back)
    found_after = time.monotonic() - gone_at - away
    assert away > 1 or found_after < 0.5


def attempts_within(link: DiaryLink, clock: FakeClock, seconds: float) -> int:
    """Let the link dial on and on, with a clock that jumps from one attempt to the next."""
    pass_once(link)
    attempts = 0
    end = clock.time() + seconds
    while (when := link._loop._timers.next_time()) is not None and when < end:
        clock.advance_to(when)
        pass_once(link)
        attempts += 1
    return attempts


def test_attempts_become_rare_up_to_the_interval_of_the_connector(
    new_link: NewLink, tmp_path: Path
) -> None:
    attempts = []
    for interval in (3600.0, 1.0):
        link, clock = new_link(), FakeClock(1000.0)
        link._loop.time = clock.time
        link.add_connector(tmp_path / "nobody", reconnect_interval=interval)
        attempts.append(attempts_within(link, clock, 600.0))
    assert attempts[0] < 60
    assert 600 < attempts[1] < 850


def test_interval_of_the_link_is_for_connectors_without_one(
    link: DiaryLink, tmp_path: Path
) -> None:
    clock = FakeClock(1000.0)
    link._loop.time = clock.time
    link.add_connector(tmp_path / "nobody")
    assert attempts_within(link, clock, 60.0) < 50
    link.del_connector(tmp_path / "nobody")
    link.reconnect_interval = 0.5
    link.add_connector(tmp_path / "nobody")
    assert attempts_within(link, clock, 60.0) > 120


def waiting_long(link: DiaryLink, *addresses: Path) -> FakeClock:
    """Let the link dial in vain until it waits for minutes, with a clock that then stands still."""
    clock = FakeClock(1000.0)
    link._loop.time = clock.time
    for address in addresses:
        link.add_connector(address, reconnect_interval=3600.0)
    attempts_within(link, clock, 600.0)
    return clock


def test_connectors_dial_at_once_when_they_are_told_to(
    link: DiaryLink, other: DiaryLink, tmp_path: Path
) -> None:
    addresses = [tmp_path / "one", tmp_path / "two"]
    waiting_long(link, *addresses)
    for address in addresses:
        other.add_listener(address)
    pass_once(link, other, link)
    assert link.connected == []
    link.reconnect_now()
    run_until(lambda: len(link.open) == 2, link, other)


def test_one_connector_dials_at_once_when_it_is_told_to(
    link: DiaryLink, other: DiaryLink, tmp_path: Path
) -> None:
    waiting_long(link, tmp_path / "one", tmp_path / "two")
    for name in ("one", "two"):
        other.add_listener(tmp_path / name)
    link.reconnect_now(tmp_path / "two")
    run_until(lambda: link.open, link, other)
    for _ in range(3):
        pass_once(link, other)
    assert len(link.connected) == 1


def test_attempts_follow_quickly_when_that_one_fails(link: DiaryLink, tmp_path: Path) -> None:
    clock = waiting_long(link, tmp_path / "nobody")
    assert attempts_within(link, clock, 1.0) == 0
    link.reconnect_now()
    assert attempts_within(link, clock, 1.0) >= 5


def test_connections_go_on_when_connectors_are_to_dial(link: DiaryLink, other: DiaryLink) -> None:
    connect(link, other)
    other.reconnect_now()
    for _ in range(3):
        pass_once(link, other)
    assert len(other.connected) == 1
    assert other.disconnected == []


def test_connector_that_is_deleted_meanwhile_does_not_dial(
    link: DiaryLink, other: DiaryLink, tmp_path: Path
) -> None:
    waiting_long(link, tmp_path / "one")
    other.add_listener(tmp_path / "one")
    link.reconnect_now()
    link.del_connector(tmp_path / "one")
    for _ in range(3):
        pass_once(link, other)
    assert other.connected == []
    assert link._loop._timers.next_time() is None


def test_only_a_connector_that_exists_can_dial(link: DiaryLink, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        link.reconnect_now(tmp_path / "one")
    link.reconnect_now()
    link.cleanup()
    with pytest.raises(LoopError):
        link.reconnect_now()
