"""What the system says of a connection whose other side is silent."""

from __future__ import annotations

import socket
import struct
import sys
from typing import cast

import pytest
from real_links import DiaryLink, run_until

from snakemq.exceptions import NoConnection
from snakemq.link._connections._progress import unanswered_for

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it")


class InfoSocket:
    """A socket with a given TCP_INFO."""

    family = socket.AF_INET

    def __init__(self, retransmits: int = 0, probes: int = 0, last_ack: int = 0) -> None:
        self._info = struct.pack("=BBBB52xI", 1, 0, retransmits, probes, last_ack)

    def getsockopt(self, level: int, option: int, size: int) -> bytes:
        return self._info[:size]


@linux
@pytest.mark.parametrize(
    ("retransmits", "probes", "last_ack", "seconds"),
    [
        (0, 0, 5000, 0.0),  # idle, or not late
        (1, 0, 5000, 5.0),  # sent again, and not acknowledged
        (0, 1, 1200, 0.0),  # one probe may lack its answer
        (0, 2, 1200, 1.2),
    ],
)
def test_lateness_is_distinguished_from_idleness(
    retransmits: int, probes: int, last_ack: int, seconds: float
) -> None:
    sock = cast(socket.socket, InfoSocket(retransmits, probes, last_ack))
    assert unanswered_for(sock) == seconds


@linux
def test_a_peer_that_reads_nothing_is_not_late(link: DiaryLink) -> None:
    """Its system has no room, and says so in answers to probes."""
    address = link.add_listener(("127.0.0.1", 0))
    with socket.create_connection(address):
        run_until(lambda: link.open, link)
        (conn_id,) = link.open
        link.send(conn_id, bytes(64 * 1024 * 1024))
        run_until(lambda: link.unsent_bytes(conn_id), link)
        assert link.unanswered_for(conn_id) == 0.0


def test_unanswered_time_of_a_unix_socket_is_unknown() -> None:
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("no Unix sockets here")
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert unanswered_for(one) is None


def test_progress_of_a_closed_socket_is_unknown() -> None:
    with socket.socket() as sock:
        pass
    assert unanswered_for(sock) is None


def test_an_unknown_connection_is_an_error(link: DiaryLink) -> None:
    with pytest.raises(NoConnection):
        link.unanswered_for("1fd7")
