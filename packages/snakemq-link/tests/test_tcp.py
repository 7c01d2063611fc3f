"""Options of TCP connections."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from real_links import DiaryLink, connect, run_until

from snakemq.link import TCP_KEEPALIVE

NewLink = Callable[..., DiaryLink]
OPTIONS = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")

needs_options = pytest.mark.skipif(
    not all(hasattr(socket, name) for name in OPTIONS), reason="this system has not all of them"
)


def keepalive_of(link: DiaryLink, conn_id: str) -> tuple[bool, tuple[int, ...]]:
    sock = link.get_socket_by_conn(conn_id).sock
    values = [sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in OPTIONS]
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)), tuple(values)


@needs_options
def test_both_sides_are_probed(link: DiaryLink, other: DiaryLink) -> None:
    here, there = connect(link, other)
    assert keepalive_of(link, here) == (True, TCP_KEEPALIVE)
    assert keepalive_of(other, there) == (True, TCP_KEEPALIVE)


@needs_options
def test_each_value_can_be_set(new_link: NewLink, other: DiaryLink) -> None:
    link = new_link(tcp_keepalive=(5, 2, 7))
    here, _ = connect(link, other)
    assert keepalive_of(link, here) == (True, (5, 2, 7))


@needs_options
def test_it_can_be_switched_off(new_link: NewLink, other: DiaryLink) -> None:
    link = new_link(tcp_keepalive=None)
    here, _ = connect(link, other)
    assert not keepalive_of(link, here)[0]


def test_a_system_that_lacks_an_option_has_its_own_value(
    link: DiaryLink, other: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in OPTIONS:
        monkeypatch.delattr(socket, name, raising=False)
    here, _ = connect(link, other)
    sock = link.get_socket_by_conn(here).sock
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def test_unix_sockets_need_no_probes(link: DiaryLink, other: DiaryLink, tmp_path: Path) -> None:
    other.add_connector(link.add_listener(str(tmp_path / "socket")))
    run_until(lambda: link.open and other.open, link, other)
    sock = link.get_socket_by_conn(link.open[0]).sock
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize(
    "wrong", [(60, 10), (0, 10, 3), (60, 10, -1), (1.5, 1, 1), (60, 10, 128), ()]
)
def test_wrong_values_are_refused(new_link: NewLink, wrong: object) -> None:
    with pytest.raises(ValueError, match="tcp_keepalive"):
        new_link(tcp_keepalive=wrong)
