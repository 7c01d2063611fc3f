"""Names with several addresses, over real sockets; when each is tried is in test_race.py."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import cast

import pytest
from real_links import LOCALHOST, DiaryLink, black_hole, plain_listener, run_until
from resolver import NAME, Resolver, endpoint

from snakemq.link import Address
from snakemq.link._dialling._endpoint import Endpoint

NewLink = Callable[..., DiaryLink]

NEVER = 3600.0
"""Seconds for a connection, so that no test can pass because they are over."""


@pytest.fixture
def holes() -> Iterator[Callable[[int], list[Endpoint]]]:
    """Makes addresses that never answer."""
    with ExitStack() as stack:
        yield lambda count: [
            endpoint(stack.enter_context(black_hole(f"127.0.0.{number + 2}")))
            for number in range(count)
        ]


def refused() -> Endpoint:
    with plain_listener() as sock:
        return endpoint(sock.getsockname())


@pytest.mark.parametrize("count", [1, 3, 12])
def test_silent_addresses_do_not_delay_the_one_that_answers(
    new_link: NewLink, resolver: Resolver, holes: Callable[[int], list[Endpoint]], count: int
) -> None:
    link, other = new_link(connect_timeout=NEVER if count == 1 else 2.0), new_link()
    address = other.add_listener(LOCALHOST)
    resolver.answers = [*holes(count), endpoint(address)]
    link.add_connector(NAME)
    run_until(lambda: link.open and other.open, link, other)
    assert len(resolver.asked) == 1
    assert link.get_socket_by_conn(link.open[0]).remote_peer == address
    assert not link._dialling.connectors[NAME]._attempts  # the others are closed


def test_address_that_worked_last_is_the_first_to_be_tried(
    link: DiaryLink, other: DiaryLink, resolver: Resolver
) -> None:
    first, second = refused(), other.add_listener(LOCALHOST)
    resolver.answers = [first, endpoint(second)]
    link.add_connector(NAME)
    run_until(lambda: link.open and other.open, link, other)
    other.add_listener(cast(Address, first.sockaddr))  # it answers too by now
    other.close(other.open[0])
    run_until(lambda: len(link.connected) == 2 and link.open, link, other)
    assert link.get_socket_by_conn(link.open[0]).remote_peer == second


@pytest.mark.parametrize("families", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
def test_both_families_are_tried(
    link: DiaryLink, other: DiaryLink, resolver: Resolver, families: tuple[str, str]
) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    address = other.add_listener((families[1], 0))
    kind = {"::1": socket.AF_INET6, "127.0.0.1": socket.AF_INET}
    port = address[1]
    resolver.answers = [Endpoint(kind[host], (host, int(port))) for host in families]
    link.add_connector(NAME)
    run_until(lambda: link.open and other.open, link, other)


def test_fifty_addresses_and_duplicates(
    link: DiaryLink, other: DiaryLink, resolver: Resolver
) -> None:
    bad = refused()
    resolver.answers = [*[bad] * 5, *[refused() for _ in range(50)]]
    resolver.answers.append(endpoint(other.add_listener(LOCALHOST)))
    link.add_connector(NAME)
    run_until(lambda: link.open and other.open, link, other)
    assert len(resolver.asked) == 1


def test_connector_that_is_deleted_in_a_race_leaves_no_socket_behind(
    new_link: NewLink, resolver: Resolver, holes: Callable[[int], list[Endpoint]]
) -> None:
    link = new_link(connect_timeout=2.0)
    resolver.answers = holes(3)
    link.add_connector(NAME)
    connector = link._dialling.connectors[NAME]
    run_until(lambda: len(connector._attempts) == 3, link)
    sockets = list(connector._attempts)
    link.del_connector(NAME)
    assert all(sock.fileno() == -1 for sock in sockets)
    assert link._loop._timers.next_time() is None


# -- look-ups


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_look_up_that_hangs_is_logged_and_dialling_goes_on(
    new_link: NewLink, resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    link, other = new_link(connect_timeout=0.05), new_link()
    resolver.answers = [endpoint(other.add_listener(LOCALHOST))]
    first, released = threading.Event(), threading.Event()

    def hang_once() -> None:
        if not first.is_set():
            first.set()
            released.wait()

    resolver.before_answer = hang_once
    link.add_connector(NAME)
    try:
        run_until(lambda: link.open and other.open, link, other)
    finally:
        released.set()
    assert warnings_of(caplog) == [
        f"cannot connect to {NAME!r}: the look-up of 'peer.example.org' hangs: no answer in "
        "0.05 s; trying again"
    ]


def test_look_up_and_attempts_share_one_connect_timeout(
    new_link: NewLink,
    resolver: Resolver,
    holes: Callable[[int], list[Endpoint]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    link = new_link(connect_timeout=0.2)
    resolver.answers = holes(2)
    link.add_connector(NAME)
    started = link.time()
    run_until(lambda: len(resolver.asked) == 2, link)
    assert link.time() - started >= 0.2
    assert "no answer in 0.2 s" in warnings_of(caplog)[0]
    assert "look-up" not in warnings_of(caplog)[0]


def test_name_without_an_address_is_reported(
    link: DiaryLink, resolver: Resolver, caplog: pytest.LogCaptureFixture
) -> None:
    resolver.finds_nothing = True
    link.add_connector(NAME)
    run_until(lambda: len(resolver.asked) == 2, link)
    assert warnings_of(caplog) == [
        f"cannot connect to {NAME!r}: 'peer.example.org' has no address; trying again"
    ]


def test_failure_is_reported_once_with_its_address(link: DiaryLink, resolver: Resolver) -> None:
    told: list[tuple[Address, str]] = []
    link.on_connect_failed.add(lambda address, exc: told.append((address, str(exc))))
    resolver.answers = [refused(), refused()]
    link.add_connector(NAME)
    run_until(lambda: len(resolver.asked) == 4, link)
    assert told == [(NAME, f"cannot connect to {NAME!r}: Connection refused")]


def test_callback_of_a_failure_may_delete_the_connector(
    link: DiaryLink, resolver: Resolver
) -> None:
    link.on_connect_failed.add(lambda address, _exc: link.del_connector(address))
    link.add_connector(NAME)
    run_until(lambda: not link._dialling.connectors, link)
    link.loop(runtime=0)
    assert link._loop._timers.next_time() is None
    assert len(resolver.asked) == 1
