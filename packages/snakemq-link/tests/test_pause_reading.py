"""Pausing over real sockets: what the conformance checks cannot bring about."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from real_links import LOCALHOST, DiaryLink, pass_once, plain_client, run_until

MEBI = 1024 * 1024


def test_a_hang_up_does_not_keep_the_loop_awake(link: DiaryLink, tmp_path: Path) -> None:
    address = link.add_listener(str(tmp_path / "socket"))
    with plain_client(address, socket.AF_UNIX) as client:
        run_until(lambda: link.open, link)
        (conn_id,) = link.open
        link.pause_reading(conn_id, "test")
        client.sendall(b"last words")
    assert link._loop.poller.poll(0) == []
    link.resume_reading(conn_id, "test")
    run_until(lambda: link.disconnected, link)
    assert link.received[conn_id] == b"last words"


def test_a_paused_connection_that_breaks_ends_when_a_send_fails(link: DiaryLink) -> None:
    address = link.add_listener(LOCALHOST)
    with plain_client(address) as client:
        run_until(lambda: link.open, link)
        (conn_id,) = link.open
        link.pause_reading(conn_id, "test")
        client.sendall(b"not read any more")
    link.send_all(conn_id, bytes(64 * MEBI))  # more than any system takes over for the dead
    run_until(lambda: link.disconnected, link)
    assert not link.received[conn_id]


def test_a_paused_connection_whose_sends_wait_goes_on_when_they_can(link: DiaryLink) -> None:
    address = link.add_listener(LOCALHOST)
    data = bytes(16 * MEBI)
    with plain_client(address) as client:
        run_until(lambda: link.open, link)
        (conn_id,) = link.open
        link.send_all(conn_id, data)  # the poller is asked for room
        pass_once(link)
        link.pause_reading(conn_id, "test")
        client.sendall(b"x")
        received = 0
        client.settimeout(0)

        def drain() -> bool:
            nonlocal received
            with contextlib.suppress(BlockingIOError):
                received += len(client.recv(MEBI))
            return received == len(data)

        run_until(drain, link)
        run_until(lambda: link.sent[conn_id] == len(data), link)
        assert not link.received[conn_id]
        assert link._loop.poller.poll(0) == []
        link.resume_reading(conn_id, "test")
        run_until(lambda: link.received[conn_id], link)


def test_a_connection_that_cannot_be_watched_again_is_closed(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = link.add_listener(LOCALHOST)
    with plain_client(address):
        run_until(lambda: link.open, link)
        (conn_id,) = link.open
        link.pause_reading(conn_id, "test")

        def no_room(fd: int, events: int, handler: Callable[[int], object]) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(link._loop.poller, "register", no_room)
        link.resume_reading(conn_id, "test")
        assert link.open, "on_disconnect was called from within resume_reading"
        run_until(lambda: link.disconnected, link)


def test_unsent_bytes_fall_while_the_other_side_takes_them(link: DiaryLink) -> None:
    address = link.add_listener(LOCALHOST)
    with plain_client(address) as client:
        run_until(lambda: link.open, link)
        (conn_id,) = link.open
        if link.unsent_bytes(conn_id) is None:
            pytest.skip("this system does not tell it")
        link.send(conn_id, bytes(64 * MEBI))  # much more than the other side takes unread
        run_until(lambda: link.unsent_bytes(conn_id), link)
        received = 0
        while not link.sent[conn_id]:  # reported as soon as there is room again
            received += len(client.recv(MEBI))
            pass_once(link)
        while received < link.sent[conn_id]:
            received += len(client.recv(MEBI))
        client.sendall(b"x")
        run_until(lambda: link.received[conn_id], link)
        assert link.unsent_bytes(conn_id) == 0
