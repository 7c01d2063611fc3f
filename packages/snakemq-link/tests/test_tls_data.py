"""Bytes over TLS: large, small, in both directions, and at the edges of the connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from random import Random

import pytest
from certificates import Authority
from real_links import LOCALHOST, DiaryLink, plain_listener, run_until

from snakemq.link import Address
from snakemq.throttle import Throttle

MEBI = 1024 * 1024
NewLink = Callable[..., DiaryLink]


@pytest.fixture
def connected(link: DiaryLink, other: DiaryLink, authority: Authority) -> tuple[str, str]:
    """Connect ``link`` and ``other`` by TLS, and return the ids."""
    address = link.add_listener(LOCALHOST, authority.config("server"))
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: link.open and other.open, link, other)
    return link.open[0], other.open[0]


def test_bulk_in_both_directions_at_once(
    link: DiaryLink, other: DiaryLink, connected: tuple[str, str]
) -> None:
    here, there = connected
    random = Random(1)
    to_other, to_link = random.randbytes(12 * MEBI + 1), random.randbytes(12 * MEBI - 1)
    link.send_all(here, to_other)
    other.send_all(there, to_link)
    run_until(
        lambda: (
            len(other.received[there]) >= len(to_other) and len(link.received[here]) >= len(to_link)
        ),
        link,
        other,
    )
    assert other.received[there] == to_other
    assert link.received[here] == to_link
    assert link.sent[here] == len(to_other)


def test_many_small_sends(link: DiaryLink, other: DiaryLink, connected: tuple[str, str]) -> None:
    here, there = connected
    numbers = iter(range(1000))

    def send_next(*_: object) -> None:
        for number in numbers:
            link.send(here, b"%d," % number)
            break

    link.on_ready_to_send.add(send_next)
    send_next()
    expected = b"".join(b"%d," % number for number in range(1000))
    run_until(lambda: len(other.received[there]) >= len(expected), link, other)
    assert other.received[there] == expected


def narrow(link: DiaryLink, conn_id: str) -> None:
    """Let the system hold little, so that TLS is stopped in the middle of its records."""
    sock = link.get_socket_by_conn(conn_id).sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)


def test_send_is_reported_when_nothing_of_it_is_left_in_the_hands_of_tls(
    link: DiaryLink, other: DiaryLink, connected: tuple[str, str]
) -> None:
    """Otherwise it would insist on being given the same bytes again, by a caller who may have
    something else, or less, to send by then."""
    here, there = connected
    narrow(link, here)
    link.send(here, b"a" * MEBI)
    for _ in range(20):
        link.loop(runtime=0)
    assert not link.sent[here]
    run_until(lambda: link.sent[here], link, other)
    first = link.sent[here]
    link.send(here, b"b")  # neither the rest of the first, nor as long
    run_until(lambda: len(other.received[there]) > first, link, other)
    assert other.received[there] == b"a" * first + b"b"
    assert not link.disconnected


def test_slow_reader_behind_a_throttle(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    """A throttle cuts each send anew, so the next may be shorter than what TLS has pending."""
    throttle = Throttle(link, 20 * MEBI)
    data = Random(2).randbytes(MEBI)
    rest = memoryview(data)

    def send_rest(conn_id: str, sent: int) -> None:
        nonlocal rest
        rest = rest[sent:]
        if rest:
            throttle.send(conn_id, rest)

    throttle.on_ready_to_send.add(send_rest)
    throttle.on_connect.add(lambda conn_id: (narrow(link, conn_id), send_rest(conn_id, 0)))
    address = link.add_listener(LOCALHOST, authority.config("server"))
    other.recv_block_size = 1000
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: sum(map(len, other.received.values())) >= len(data), link, other)
    assert other.received[other.connected[0]] == data
    assert not link.disconnected


def test_both_sides_speak_inside_on_connect(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    link.on_connect.add(lambda conn_id: link.send(conn_id, b"the server speaks first"))
    other.on_connect.add(lambda conn_id: other.send(conn_id, b"and so does the client"))
    address = link.add_listener(LOCALHOST, authority.config("server"))
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(
        lambda: b"the server speaks first" in other.received.values() and link.received,
        link,
        other,
    )
    assert b"and so does the client" in link.received.values()


class FlyingClient:
    """Its first data arrives in the same segment as its last part of the handshake."""

    def __init__(self, context: ssl.SSLContext, address: Address, data: bytes) -> None:
        assert not isinstance(address, str)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.data = data
        self.sock = socket.create_connection(address)
        self.sock.setblocking(False)
        self.finished = False
        self.go_on()

    def go_on(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.incoming.write(self.sock.recv(100_000))
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
            if not self.finished:
                self.tls.write(self.data)
            self.finished = True
        self.sock.sendall(self.outgoing.read())


@pytest.mark.parametrize("size", [1, 5000, 16_000, 40_000])
def test_first_data_in_the_same_segment_as_the_end_of_the_handshake(
    link: DiaryLink, authority: Authority, size: int
) -> None:
    """Nothing tells the selector about bytes that TLS has read already."""
    address = link.add_listener(LOCALHOST, authority.config("server"))
    context = authority.config("client").get_context(server_side=False)
    client = FlyingClient(context, address, b"x" * size)

    def received() -> int:
        client.go_on()
        return sum(map(len, link.received.values()))

    run_until(lambda: received() == size, link)
    assert client.finished
    client.sock.close()


def test_what_was_sent_before_the_close_arrives(
    link: DiaryLink, other: DiaryLink, connected: tuple[str, str]
) -> None:
    here, there = connected
    data = b"last words" * 2000
    link.send_all(here, data)
    run_until(lambda: link.sent[here] == len(data), link)
    link.close(here)
    run_until(lambda: other.disconnected, other)
    assert other.received[there] == data


def test_garbage_in_an_established_connection_ends_it(
    link: DiaryLink, other: DiaryLink, connected: tuple[str, str]
) -> None:
    here, there = connected
    raw = socket.socket(fileno=socket.dup(other.get_socket_by_conn(there).fileno()))
    raw.send(b"this is not a record of TLS at all" * 10)
    raw.close()
    run_until(lambda: link.disconnected == [here], link)


def test_server_that_closes_right_after_the_handshake_is_noticed(
    other: DiaryLink, authority: Authority
) -> None:
    with plain_listener() as listener:
        other.add_connector(listener.getsockname(), ssl_config=authority.config("client"))
        run_until(lambda: other._table.connections, other)
        sock, _ = listener.accept()
        sock.close()
        run_until(lambda: not other._table.connections, other)
    assert not other.connected
