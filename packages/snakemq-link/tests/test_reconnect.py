"""Connections that come back, over real sockets; how long the waits are is in test_backoff.py."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

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
