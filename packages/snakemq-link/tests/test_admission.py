"""Limits of connections, of addresses and of file descriptors for newcomers."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from certificates import Authority
from real_links import DEADLINE, LOCALHOST, DiaryLink, connect, pass_once, plain_client, run_until

from snakemq.link._connections import _admission
from snakemq.link._connections._admission import FEW_CONNECTIONS, group_of

NewLink = Callable[..., DiaryLink]
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


class Clients:
    """Plain sockets that dial a link."""

    def __init__(self, link: DiaryLink, stack: ExitStack) -> None:
        self.link = link
        self.address = link.add_listener(LOCALHOST)
        self._stack = stack

    def dial(self, source: str = HERE) -> socket.socket:
        client = socket.create_connection(self.address, DEADLINE, source_address=(source, 0))
        self._stack.enter_context(client)
        pass_once(self.link, self.link)
        return client

    def admitted(self, source: str = HERE) -> bool:
        """Dial in, and return True if the connection stays."""
        client = self.dial(source)
        client.setblocking(False)
        try:
            return client.recv(1) != b""
        except BlockingIOError:
            return True


@pytest.fixture
def serve() -> Iterator[Callable[[DiaryLink], Clients]]:
    with ExitStack() as stack:
        yield lambda link: Clients(link, stack)


Serve = Callable[[DiaryLink], Clients]


def test_one_address_cannot_take_all_connections(new_link: NewLink, serve: Serve) -> None:
    clients = serve(new_link(max_connections_per_address=3))
    assert [clients.admitted() for _ in range(5)] == [True] * 3 + [False] * 2
    assert clients.admitted(ELSEWHERE)
    clients.link.close(clients.link.open[0])
    assert clients.admitted()
    assert not clients.admitted()


def test_one_address_may_have_a_fraction_of_all_connections(
    new_link: NewLink, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_admission, "FEW_CONNECTIONS", 1)
    clients = serve(new_link(max_connections=6, max_connections_per_address=0.5))
    assert [clients.admitted() for _ in range(4)] == [True] * 3 + [False]
    assert [clients.admitted(ELSEWHERE) for _ in range(4)] == [True] * 3 + [False]


def test_one_address_may_always_have_a_few_connections(new_link: NewLink, serve: Serve) -> None:
    clients = serve(new_link(max_connections=3))
    assert FEW_CONNECTIONS > 3
    assert [clients.admitted() for _ in range(4)] == [True] * 3 + [False]


def test_the_limit_for_one_address_can_be_switched_off(
    new_link: NewLink, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_admission, "FEW_CONNECTIONS", 1)
    clients = serve(new_link(max_connections=4, max_connections_per_address=None))
    assert [clients.admitted() for _ in range(4)] == [True] * 4


@pytest.mark.parametrize("wrong", [0, -1, 0.0])
def test_a_limit_of_nothing_is_refused(new_link: NewLink, wrong: float) -> None:
    with pytest.raises(ValueError, match="max_connections_per_address"):
        new_link(max_connections_per_address=wrong)


def test_unix_sockets_have_no_address(new_link: NewLink, tmp_path: Path) -> None:
    link = new_link(max_connections_per_address=1)
    address = link.add_listener(str(tmp_path / "socket"))
    with plain_client(address, socket.AF_UNIX), plain_client(address, socket.AF_UNIX):
        run_until(lambda: len(link.open) == 2, link)


@pytest.mark.parametrize(
    ("peer", "group"),
    [
        (("192.0.2.7", 4000), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 4000, 0, 0), "2001:db8:1:2::/64"),
        (("fe80::1%eth0", 4000, 0, 2), "fe80::/64"),
        (("::1", 4000, 0, 0), "::/64"),
        ("", ""),
        ("/run/a.socket", ""),
        (None, ""),
    ],
)
def test_addresses_that_are_counted_together(peer: object, group: str) -> None:
    assert group_of(peer) == group


def test_dialled_connections_are_not_counted_with_those_that_come_in(
    new_link: NewLink, serve: Serve, other: DiaryLink
) -> None:
    link = new_link(max_connections_per_address=1)
    connect(other, link)
    clients = serve(link)
    assert clients.admitted()
    assert not clients.admitted()


def test_a_reserve_of_descriptors_is_kept_for_this_process(
    new_link: NewLink, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = new_link()
    clients = serve(link)
    clients.dial()
    highest = link.get_socket_by_conn(link.open[0]).fileno()
    # A client and its connection take two numbers.
    monkeypatch.setattr(_admission, "_descriptors", lambda: highest + 4 + 1 + 32)
    assert [clients.admitted() for _ in range(4)] == [True, True, False, False]
    for conn_id in link.open[:2]:
        link.close(conn_id)
    assert clients.admitted()


def test_the_limit_of_descriptors_is_read_for_each_newcomer(
    new_link: NewLink, serve: Serve
) -> None:
    resource = pytest.importorskip("resource")
    link = new_link()
    clients = serve(link)
    assert clients.admitted()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, before[1]))
        assert not clients.admitted()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert clients.admitted()


# -- room for a newcomer


def close_oldest(link: DiaryLink) -> Callable[[Callable[[str], bool]], None]:
    def on_crowded(would_help: Callable[[str], bool]) -> None:
        for conn_id in link.open:
            if would_help(conn_id):
                link.close(conn_id)
                return

    return on_crowded


def test_a_newcomer_is_admitted_if_a_layer_makes_room(new_link: NewLink, serve: Serve) -> None:
    link = new_link(max_connections=2)
    link.on_crowded.add(close_oldest(link))
    clients = serve(link)
    assert [clients.admitted() for _ in range(5)] == [True] * 5
    assert link.open == link.connected[-2:]


def test_room_is_made_in_the_address_that_has_used_up_its_share(
    new_link: NewLink, serve: Serve
) -> None:
    link = new_link(max_connections_per_address=2)
    link.on_crowded.add(close_oldest(link))
    clients = serve(link)
    clients.dial(ELSEWHERE)
    assert [clients.admitted() for _ in range(3)] == [True] * 3
    assert link.disconnected == [link.connected[1]]


def test_own_connections_do_not_make_room_for_newcomers(
    new_link: NewLink, serve: Serve, other: DiaryLink
) -> None:
    link = new_link(max_connections=1)
    link.on_crowded.add(close_oldest(link))
    connect(other, link)
    assert not serve(link).admitted()
    assert not link.disconnected


def test_layers_that_had_no_room_are_not_asked_again_at_once(
    new_link: NewLink, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_admission, "_IN_VAIN", 1000.0)
    link = new_link(max_connections=1)
    asked: list[object] = []
    link.on_crowded.add(asked.append)
    clients = serve(link)
    assert [clients.admitted() for _ in range(4)] == [True] + [False] * 3
    assert len(asked) == 1


def test_an_unfinished_handshake_gives_way_to_a_newcomer(
    new_link: NewLink, other: DiaryLink, authority: Authority
) -> None:
    link = new_link(max_connections=2)
    address = link.add_listener(LOCALHOST, authority.config("server"))
    with plain_client(address) as first, plain_client(address), plain_client(address):
        run_until(lambda: not link._loop.poller.poll(0), link)
        assert first.recv(1) == b""
        assert len(link._table.connections) == 2
        other.add_connector(address, ssl_config=authority.config("client"))
        run_until(lambda: link.open and other.open, link, other)
        assert len(link._table.connections) == 2


def test_refusals_of_a_host_are_reported_once_a_minute_with_a_count(
    new_link: NewLink,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, "snakemq.link")
    link = new_link(max_connections=1)
    told: list[str] = []
    link.on_connect_failed.add(lambda address, exc: told.append(str(exc)))
    clients = serve(link)
    for _ in range(10):
        clients.dial()
    (line,) = caplog.messages
    assert line.startswith("connection from ('127.0.0.1', ")
    assert "refused: max_connections is reached: 1; not logged again within 60 s" in line
    later = link.time() + 60
    monkeypatch.setattr(link._loop, "time", lambda: later)
    clients.dial()
    assert "refused: max_connections is reached: 1 (and 8 more that were not logged)" in caplog.text
    assert len(caplog.messages) == len(told) == 2


def test_lack_of_descriptors_is_reported_with_the_listeners_address(
    new_link: NewLink, caplog: pytest.LogCaptureFixture
) -> None:
    link = new_link()
    address = link.add_listener(LOCALHOST)
    for _ in range(3):
        link._dialling._admission.out_of_resources(
            address, OSError(errno.EMFILE, "Too many open files"), 0.5
        )
    (line,) = caplog.messages
    assert line.startswith(f"cannot accept on {address!r} for 0.5 s: [Errno ")
