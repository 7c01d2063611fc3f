"""Connections that are of no use: both sides are told why, once, and dialling becomes rare."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from certificates import Authority
from real_links import LOCALHOST, DiaryLink, pass_once, plain_client, plain_listener, run_until

from snakemq.exceptions import ConnectFailed, SnakeMQException
from snakemq.link import Link, SSLConfig
from snakemq.link.testing import FakeClock

NewLink = Callable[..., DiaryLink]


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "snakemq.link")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@contextmanager
def failures_of(link: Link) -> Iterator[list[ConnectFailed]]:
    failures: list[ConnectFailed] = []

    def failed(_address: object, exc: ConnectFailed) -> None:
        failures.append(exc)

    link.on_connect_failed.add(failed)
    yield failures
    link.on_connect_failed.remove(failed)


def run_attempts(count: int, dialling: DiaryLink, *others: DiaryLink) -> None:
    """Until that many further connections have ended."""
    ended = len(dialling.disconnected) + count
    run_until(lambda: len(dialling.disconnected) >= ended, dialling, *others)


# -- the side that dials


def test_server_that_accepts_and_closes_at_once_is_logged_once(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    address = other.add_listener(LOCALHOST)
    other.on_connect = other.close
    link.add_connector(address)
    with failures_of(link) as failures:
        run_attempts(4, link, other)
    reason = f"cannot connect to {address!r}: closed by the other side at once: does it expect TLS?"
    assert warnings_of(caplog) == [f"{reason}; trying again"]
    assert [str(failure) for failure in failures] == [reason]
    assert failures[0].address == address


def test_late_refusal_of_a_certificate_is_reported_once_at_both_sides(
    link: DiaryLink,
    other: DiaryLink,
    authority: Authority,
    stranger: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With TLS 1.3 the client is connected before it learns of the refusal."""
    keyfile, certfile = stranger.issue("client")
    address = other.add_listener(LOCALHOST, authority.config("server"))
    link.add_connector(
        address, ssl_config=SSLConfig(keyfile, certfile, ca_certs=authority.ca_certs)
    )
    with failures_of(link) as at_client, failures_of(other) as at_server:
        run_attempts(4, link, other)
    assert len(at_client) == len(at_server) == 1
    assert "alert unknown ca" in str(at_client[0])
    assert "certificate verify failed" in str(at_server[0])
    assert len(warnings_of(caplog)) == 2
    assert not [line for line in warnings_of(caplog) if "_ssl.c" in line]


def test_plain_text_dialler_hears_of_a_tls_port_and_the_port_complains_once(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    address = other.add_listener(LOCALHOST, authority.config("server"))
    link.on_connect.add(lambda conn_id: link.send(conn_id, b"\0\0\0\x05\0\0\0\0\1"))
    link.add_connector(address)
    with failures_of(other) as at_server, failures_of(link) as at_client:
        run_attempts(4, link, other)
    (failure,) = at_server
    assert "is it TLS?" in str(failure)
    assert isinstance(failure.__cause__, OSError)
    assert any("TLS" in str(failure) for failure in at_client)


def test_layer_above_can_say_that_a_connection_is_of_no_use(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    address = other.add_listener(LOCALHOST)
    reasons = ["one", "one", "other", "other", "one"]

    def refuse(conn_id: str) -> None:
        link.report_failure(conn_id, SnakeMQException(reasons.pop(0)))
        link.close(conn_id)

    link.on_connect.add(refuse)
    link.add_connector(address)
    run_until(lambda: not reasons, link, other)
    assert warnings_of(caplog) == [
        f"cannot connect to {address!r}: one; trying again",
        f"cannot connect to {address!r}: other; trying again",
    ]


@pytest.mark.parametrize("received", [False, True])
def test_refused_connector_dials_less_and_less_often(
    link: DiaryLink, other: DiaryLink, received: bool
) -> None:
    """It does so even if the other side greets before it refuses."""
    clock = FakeClock(1000.0)
    link._loop.time = clock.time
    if received:
        other.on_connect.add(lambda conn_id: other.send(conn_id, b"welcome"))

    def refuse(conn_id: str, data: bytes = b"") -> None:
        link.report_failure(conn_id, SnakeMQException("refused"))
        link.close(conn_id)

    if received:
        link.on_recv.add(refuse)
    else:
        link.on_connect.add(refuse)
    link.add_connector(other.add_listener(LOCALHOST))
    run_attempts(1, link, other)
    while (when := link._loop._timers.next_time()) is not None and when < 1060.0:
        clock.advance_to(when)
        run_attempts(1, link, other)
    assert 20 < len(link.connected) < 35  # every 3 s in the end, less a quarter


def test_connection_that_works_again_is_logged_with_its_failed_attempts(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock(1000.0)
    address = other.add_listener(LOCALHOST)
    other.on_connect = other.close
    link.add_connector(address)
    run_attempts(1, link, other)
    other.on_connect = lambda conn_id: other.send(conn_id, b"welcome")
    link._loop.time = clock.time
    clock.advance_to(2e9)
    run_until(lambda: any(link.received.values()), link, other)
    assert "connected again" not in caplog.text
    clock.advance(1.0)
    run_until(lambda: "connected again" in caplog.text, link)
    assert f"connected again to {address!r} after 1 failed attempts" in caplog.text


def test_silent_connection_does_not_count_as_working_yet(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock(1000.0)
    link._loop.time = clock.time
    address = other.add_listener(LOCALHOST)
    link.add_connector(address)
    for _ in range(2):
        open_now = len(link.connected) + 1
        run_until(lambda n=open_now: len(link.connected) == n, link, other)  # type: ignore[misc]
        clock.advance(10.0)
        pass_once(link)
        link.report_failure(link.open[0], SnakeMQException("no identification in time"))
        link.close(link.open[0])
        clock.advance(3.0)
    assert len(warnings_of(caplog)) == 1
    assert "connected again" not in caplog.text


def test_connection_that_fails_after_a_long_time_is_dialled_again_quickly(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock(1000.0)
    link._loop.time = clock.time
    address = other.add_listener(LOCALHOST)
    link.add_connector(address)
    run_until(lambda: link.open and other.open, link, other)
    clock.advance(3600.0)
    link.report_failure(link.open[0], SnakeMQException("no answer to a ping"))
    link.close(link.open[0])
    assert warnings_of(caplog) == [
        f"lost the connection to {address!r}: no answer to a ping; trying again"
    ]
    clock.advance(0.1)
    run_until(lambda: link.open, link, other)


def test_connection_that_this_side_closes_is_not_a_failure(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    link.on_connect = link.close
    link.add_connector(other.add_listener(LOCALHOST))
    run_attempts(3, link, other)
    assert warnings_of(caplog) == []


def test_connection_of_a_socket_to_itself_is_reported(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
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
        run_until(lambda: caplog.text.count("connected to itself; trying again") >= 3, link)
    assert warnings_of(caplog) == [f"cannot connect to {free!r}: connected to itself; trying again"]
    link.del_connector(free)


# -- the side that listens


def test_clients_that_abort_the_handshake_are_logged_once_a_minute(
    link: DiaryLink, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock(1000.0)
    link._loop.time = clock.time
    address = link.add_listener(LOCALHOST, authority.config("server"))

    def abort(times: int) -> None:
        for _ in range(times):
            with plain_client(address) as client:
                run_until(lambda: link._table.connections, link)
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                run_until(lambda: not link._table.connections, link)

    with failures_of(link) as failures:
        abort(5)
        assert len(warnings_of(caplog)) == len(failures) == 1
        clock.advance(60.0)
        abort(1)
    first, second = warnings_of(caplog)
    assert first.startswith("connection from ('127.0.0.1', ")
    assert "(and 4 more that were not logged)" in second
    assert len(failures) == 2
    assert not link.disconnected


def test_client_that_leaves_without_a_word_is_not_a_failure(
    link: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    """It may be a health check, or the loser of a race of addresses."""
    with plain_client(link.add_listener(LOCALHOST)):
        run_until(lambda: link.open, link)
    run_until(lambda: not link.open, link)
    assert warnings_of(caplog) == []


def test_listener_whose_link_is_full_logs_it_once(
    new_link: NewLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    link = new_link(max_connections=1)
    address = link.add_listener(LOCALHOST)
    other.on_connect.add(lambda conn_id: other.send(conn_id, b"hello"))
    other.add_connector(address)
    run_until(lambda: link.open, link, other)
    other.add_connector(("localhost", int(address[1])))
    with failures_of(other) as at_client:
        run_attempts(3, other, link)
    full = [line for line in warnings_of(caplog) if "max_connections is reached: 1" in line]
    assert len(full) == 1
    assert len(at_client) == 1
