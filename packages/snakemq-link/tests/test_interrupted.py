"""Ctrl-C comes anywhere, also in the middle of closing a connection."""

from __future__ import annotations

import socket

import pytest

from snakemq.link import Link, LinkSocket


@pytest.mark.parametrize("when", ["before", "after"])
def test_cleanup_ends_after_an_interrupted_close(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = Link()
    address = link.add_listener(("127.0.0.1", 0))
    assert not isinstance(address, str)
    shut = LinkSocket.shut

    def interrupted(conn: LinkSocket) -> None:
        monkeypatch.setattr(LinkSocket, "shut", shut)
        if when == "after":
            shut(conn)
        raise KeyboardInterrupt

    link.on_connect.add(lambda conn_id: monkeypatch.setattr(LinkSocket, "shut", interrupted))
    with socket.create_connection(address):
        link.on_connect.add(link.close)
        with pytest.raises(KeyboardInterrupt):
            link.loop(runtime=10)
        link.cleanup()


def test_interrupted_callback_costs_the_connection_whose_data_it_had() -> None:
    link = Link()
    address = link.add_listener(("127.0.0.1", 0))
    assert not isinstance(address, str)
    closed: list[str] = []

    def interrupted(conn_id: str, data: bytes) -> None:
        raise KeyboardInterrupt

    link.on_recv.add(interrupted)
    link.on_disconnect.add(closed.append)
    with socket.create_connection(address) as peer:
        peer.sendall(b"half of it is lost")
        with pytest.raises(KeyboardInterrupt):
            link.loop(runtime=10)
        assert len(closed) == 1
        peer.settimeout(10)
        assert peer.recv(1) == b""
    link.cleanup()
