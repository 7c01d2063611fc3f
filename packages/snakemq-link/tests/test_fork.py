"""A forked child lets go of what its parent has opened, and does no harm to it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Authority
from real_links import (
    LOCALHOST,
    DiaryLink,
    pass_once,
    plain_listener,
    run_until,
    running,
)

from snakemq.exceptions import LoopError
from snakemq.link import Address

FOLDER = Path("/proc/self/fd")
pytestmark = [
    pytest.mark.skipif(not FOLDER.exists(), reason="it tells which descriptors are open"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # is what this is about
]


def sockets() -> set[int]:
    """Return the descriptors of sockets and the like that this process has open."""
    found = set()
    for entry in FOLDER.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the folder itself
            if os.readlink(entry).startswith(("socket:", "anon_inode:")):
                found.add(int(entry.name))
    return found


@contextmanager
def child(func: Callable[[], object]) -> Iterator[None]:
    """A child that calls ``func`` and lives on during the block. What it returns has to be true."""
    told, tell = os.pipe()
    wait, let_go = os.pipe()
    pid = os.fork()
    if not pid:
        answer = b"it raised"
        try:
            result = func()
            answer = b"ok" if result else repr(result).encode()
        except BaseException as exc:
            answer = repr(exc).encode()
        finally:
            os.write(tell, answer)
            os.close(let_go)
            os.read(wait, 1)
            os._exit(0)
    try:
        assert os.read(told, 1000) == b"ok"
        yield
    finally:
        os.close(let_go)
        os.waitpid(pid, 0)
        for pipe in (told, tell, wait):
            os.close(pipe)


@pytest.fixture(params=["tcp", "unix", "tls"])
def connected(
    request: pytest.FixtureRequest,
    link: DiaryLink,
    other: DiaryLink,
    authority: Authority,
    tmp_path: Path,
) -> tuple[str, str, Address]:
    """The ids of a connection on ``link``, which listens, and on ``other``."""
    tls = request.param == "tls"
    wanted: Address = str(tmp_path / "socket") if request.param == "unix" else LOCALHOST
    address = link.add_listener(wanted, authority.config("server") if tls else None)
    other.add_connector(address, ssl_config=authority.config("client") if tls else None)
    run_until(lambda: link.open and other.open, link, other)
    return link.open[0], other.open[0], address


def test_a_child_has_no_descriptor_of_its_parent_s_links(
    link: DiaryLink, other: DiaryLink, connected: tuple[str, str, Address]
) -> None:
    with plain_listener(backlog=0) as full, socket.socket() as waiting:
        waiting.connect(full.getsockname())  # full, so there is no room for another
        other.add_connector(full.getsockname())
        pass_once(other)
        known = descriptors(link, other)
        assert len(known) == 2 * 2 + 1 + 2 + 1  # loops, listener, connection, attempt
        assert known <= sockets()
        with child(lambda: not known & sockets()):
            pass


def descriptors(*links: DiaryLink) -> set[int]:
    """All that the poller of a link knows, and its own."""
    found: set[int] = set()
    for link in links:
        found |= set(link._loop.poller._handlers)  # type: ignore[attr-defined]
        found.add(link._loop.poller._epoll.fileno())  # type: ignore[attr-defined]
    return found


def test_the_connections_of_a_parent_go_on_after_a_fork(
    link: DiaryLink, other: DiaryLink, connected: tuple[str, str, Address]
) -> None:
    here, there, address = connected
    with child(lambda: True):
        link.send_all(here, b"from the parent")
        other.send_all(there, b"to the parent")
        run_until(lambda: link.received[here] and other.received[there], link, other)
    link.send_all(here, b", again")
    run_until(lambda: other.received[there] == b"from the parent, again", link, other)
    assert not link.disconnected
    known = len(link.connected)
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        client.connect(address)  # it still listens
    if isinstance(address, str):
        run_until(lambda: len(link.connected) > known, link)


def test_what_the_parent_closes_ends_while_a_child_lives(
    link: DiaryLink,
    other: DiaryLink,
    new_link: Callable[..., DiaryLink],
    connected: tuple[str, str, Address],
) -> None:
    _, there, address = connected
    with child(lambda: True):
        link.cleanup()
        run_until(lambda: other.disconnected == [there], other)
        new_link().add_listener(address)  # the address is free


def test_a_child_that_returns_into_the_loop_of_its_parent_gets_an_error(link: DiaryLink) -> None:
    """The child of a fork inside a callback returns from that callback."""
    told, tell = os.pipe()
    forks: list[int] = []

    def fork() -> None:
        forks.append(os.fork())
        if forks != [0]:
            link.stop()

    link.call_later(0, fork)
    try:
        link.loop(runtime=20)
    except LoopError as exc:
        os.write(tell, str(exc).encode())
    finally:
        if forks == [0]:
            os._exit(0)
    os.waitpid(forks[0], 0)
    os.close(tell)
    with open(told, "rb") as pipe:
        assert b"belongs to process" in pipe.read()


def test_a_child_cannot_borrow_the_loop_of_its_parent(link: DiaryLink) -> None:
    with running(link):
        while not link._loop._sleeping:
            time.sleep(0)
        with child(lambda: not link.borrow()):
            pass


def test_a_child_ignores_a_link_that_nothing_refers_to() -> None:
    DiaryLink().cleanup()
    with child(lambda: True):
        pass
