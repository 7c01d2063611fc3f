"""Listening: where, on whose socket file, and on how much."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real_links import LOCALHOST, DiaryLink, connect, pass_once, plain_client, run_until

from snakemq.link import Address

NewLink = Callable[..., DiaryLink]


def exchange(link: DiaryLink, other: DiaryLink, address: Address) -> None:
    """Connect ``other`` to ``address`` of ``link`` and pass bytes in both directions."""
    other.add_connector(address)
    run_until(lambda: link.open and other.open, link, other)
    here, there = link.open[-1], other.open[-1]
    link.send(here, b"to the one that dialled")
    other.send(there, b"to the listener")
    run_until(lambda: link.received[here] and other.received[there], link, other)
    assert link.received[here] == b"to the listener"
    assert other.received[there] == b"to the one that dialled"


def test_port_0_takes_a_free_one_and_returns_the_real_address(
    link: DiaryLink, other: DiaryLink
) -> None:
    address = link.add_listener(("127.0.0.1", 0))
    assert address[0] == "127.0.0.1"
    assert address[1] != 0
    exchange(link, other, address)


def test_empty_host_listens_on_all_interfaces(link: DiaryLink, other: DiaryLink) -> None:
    host, port = link.add_listener(("", 0))
    assert host == "0.0.0.0"
    exchange(link, other, ("127.0.0.2", int(port)))


def test_host_name(link: DiaryLink, other: DiaryLink) -> None:
    address = link.add_listener(("localhost", 0))
    assert address[0] == "127.0.0.1"
    exchange(link, other, ("localhost", int(address[1])))


def test_ipv6(link: DiaryLink, other: DiaryLink) -> None:
    address = link.add_listener(("::1", 0))
    assert address[0] == "::1"
    exchange(link, other, address)
    assert link.get_socket_by_conn(link.open[0]).sock.family == socket.AF_INET6


def test_all_interfaces_of_ipv4_and_of_ipv6_can_be_listened_on_with_one_port(
    link: DiaryLink,
) -> None:
    _, port = link.add_listener(("", 0))
    assert link.add_listener(("::", int(port))) == ("::", port)


def test_unix_socket(link: DiaryLink, other: DiaryLink, tmp_path: Path) -> None:
    path = str(tmp_path / "peer.socket")
    assert link.add_listener(tmp_path / "peer.socket") == path
    exchange(link, other, path)


def test_many_listeners_and_connectors_on_one_link(new_link: NewLink, tmp_path: Path) -> None:
    link = new_link()
    addresses: list[Address] = [
        link.add_listener(LOCALHOST),
        link.add_listener(LOCALHOST),
        link.add_listener(str(tmp_path / "a")),
    ]
    for address in addresses:
        link.add_connector(address)
    run_until(lambda: len(link.open) == 6, link)


def test_connections_stay_when_their_listener_is_deleted(link: DiaryLink, other: DiaryLink) -> None:
    address = link.add_listener(LOCALHOST)
    exchange(link, other, address)
    link.del_listener(address)
    other.send(other.open[0], b", still here")
    run_until(lambda: link.received[link.open[0]].endswith(b"still here"), link, other)
    with pytest.raises(ConnectionRefusedError), plain_client(address):
        pass
    assert link.add_listener(address) == address  # it is free again


def test_listener_is_deleted_by_the_address_that_was_given(link: DiaryLink) -> None:
    address = link.add_listener(("localhost", 0))
    link.del_listener(("localhost", 0))
    with pytest.raises(ConnectionRefusedError), plain_client(address):
        pass
    for _ in range(2):
        link.add_listener(LOCALHOST)
    with pytest.raises(KeyError, match="2 listeners"):
        link.del_listener(LOCALHOST)


def test_deleting_an_unknown_listener_is_a_key_error(link: DiaryLink) -> None:
    with pytest.raises(KeyError):
        link.del_listener(("127.0.0.1", 1))


def test_second_listener_on_an_address_is_refused(link: DiaryLink, other: DiaryLink) -> None:
    address = link.add_listener(LOCALHOST)
    with pytest.raises(ValueError, match=str(address[1])):
        link.add_listener(address)
    with pytest.raises(OSError, match=f"cannot listen on .*{address[1]}.* in use"):
        other.add_listener(address)


def test_error_names_an_address_that_is_not_ours(link: DiaryLink) -> None:
    with pytest.raises(OSError, match=r"cannot listen on .*192\.0\.2\.1"):
        link.add_listener(("192.0.2.1", 0))
    with pytest.raises(socket.gaierror, match=r"cannot listen on .*no-such-host\.invalid"):
        link.add_listener(("no-such-host.invalid", 0))


def test_listen_backlog_is_a_setting_of_the_link(
    new_link: NewLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlogs: list[int] = []
    monkeypatch.setattr(
        "snakemq.link._dialling._listener.socket.socket.listen",
        lambda self, backlog: (backlogs.append(backlog), socket.SocketType.listen(self, backlog)),
    )
    new_link(listen_backlog=7).add_listener(LOCALHOST)
    assert backlogs == [7]


# -- socket files


def test_socket_file_goes_with_its_listener(link: DiaryLink, tmp_path: Path) -> None:
    path = tmp_path / "peer.socket"
    link.add_listener(path)
    assert path.is_socket()
    link.del_listener(path)
    assert not path.exists()
    link.add_listener(path)
    link.cleanup()
    assert not path.exists()


def test_socket_file_of_a_dead_process_is_replaced(link: DiaryLink, tmp_path: Path) -> None:
    path = tmp_path / "peer.socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    assert path.is_socket()
    link.add_listener(path)
    with plain_client(str(path), socket.AF_UNIX):
        run_until(lambda: link.connected, link)


def test_socket_file_of_a_live_listener_is_not_stolen(
    link: DiaryLink, other: DiaryLink, tmp_path: Path
) -> None:
    path = str(tmp_path / "peer.socket")
    link.add_listener(path)
    with pytest.raises(OSError, match="in use"):
        other.add_listener(path)
    pass_once(link)
    before = len(link.connected)  # looking whether it is alive means connecting
    with plain_client(path, socket.AF_UNIX):
        run_until(lambda: len(link.connected) > before, link)


def test_socket_file_of_a_live_listener_with_a_full_backlog_is_not_stolen(
    link: DiaryLink, tmp_path: Path
) -> None:
    path = str(tmp_path / "peer.socket")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(path)
        busy.listen(0)
        waiting.connect(path)
        with pytest.raises(OSError, match="in use"):
            link.add_listener(path)
        assert os.path.exists(path)


def test_file_that_is_not_a_socket_is_left_alone(link: DiaryLink, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match="in use"):
        link.add_listener(path)
    assert path.read_text() == "data"


def test_socket_file_that_another_listener_has_taken_over_is_left_alone(
    link: DiaryLink, other: DiaryLink, tmp_path: Path
) -> None:
    path = tmp_path / "peer.socket"
    link.add_listener(path)
    path.unlink()  # by the administrator
    other.add_listener(path)
    link.del_listener(path)
    assert path.is_socket()
    with plain_client(str(path), socket.AF_UNIX):
        run_until(lambda: other.connected, other)


# -- limits


def test_only_connections_beyond_the_limit_are_closed_at_once(
    new_link: NewLink,
) -> None:
    link = new_link(max_connections=2)
    address = link.add_listener(LOCALHOST)
    with plain_client(address) as first, plain_client(address), plain_client(address) as third:
        run_until(lambda: len(link.connected) == 2, link)
        pass_once(link)
        assert third.recv(1) == b""
        assert len(link.connected) == 2
        first.sendall(b"hello")
        run_until(lambda: link.received[link.connected[0]] == b"hello", link)
        first.close()
        run_until(lambda: len(link.open) == 1, link)
        with plain_client(address):  # there is room again
            run_until(lambda: len(link.open) == 2, link)


def test_own_connections_count_for_the_limit_but_are_not_refused(new_link: NewLink) -> None:
    link, server = new_link(max_connections=1), new_link()
    connect(server, link)
    address = link.add_listener(LOCALHOST)
    with plain_client(address) as refused:
        pass_once(link)
        pass_once(link)
        assert refused.recv(1) == b""
    connect(server, link)
    assert len(link.open) == 2


OUT_OF_DESCRIPTORS = """
import resource, socket, threading, time
from snakemq.link import Link
from snakemq.link._connections import _admission

_admission._RESERVE = _admission._RESERVED_PART = 0  # others have used up the reserve

link = Link()
address = link.add_listener(("127.0.0.1", 0))
accepted = []
link.on_connect.add(accepted.append)
passes = []
link.on_loop_pass.add(lambda: passes.append(None))
clients = [socket.create_connection(address) for _ in range(3)]
used = clients[-1].fileno() + 1
_, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (used + 1, hard_limit))

link.loop(runtime=0.2)
assert len(accepted) == 1, accepted
assert len(passes) < 10, f"{len(passes)} passes: it does not pause"
link.close(accepted[0])  # now there is a descriptor for the next one
link.on_connect.add(lambda conn_id: link.stop())
link.loop(runtime=20)
assert len(accepted) == 2, accepted
link.cleanup()
print("recovered")
"""


def test_accepting_pauses_while_there_are_no_descriptors_and_then_goes_on() -> None:
    child = subprocess.run(
        [sys.executable, "-c", OUT_OF_DESCRIPTORS], capture_output=True, text=True, timeout=60
    )
    assert child.stdout == "recovered\n", child.stderr


def refuse_once(link: DiaryLink, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system fail to watch one more descriptor, once."""
    register = link._loop.poller.register

    def no_room(fd: int, events: int, handler: Callable[[int], object]) -> None:
        monkeypatch.setattr(link._loop.poller, "register", register)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(link._loop.poller, "register", no_room)


def test_a_listener_that_cannot_be_watched_leaves_nothing_behind(
    link: DiaryLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "peer.socket"
    refuse_once(link, monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        link.add_listener(path)
    assert not path.exists()
    address = link.add_listener(path)
    with plain_client(address, socket.AF_UNIX):
        run_until(lambda: link.open, link)


def test_a_connection_that_cannot_be_watched_is_closed(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = link.add_listener(LOCALHOST)
    refuse_once(link, monkeypatch)
    with plain_client(address) as client:
        run_until(lambda: link.disconnected, link)
        assert client.recv(1) == b""
    with plain_client(address):
        run_until(lambda: link.open, link)
    assert len(link._table.connections) == 1


def test_a_connector_whose_connection_cannot_be_watched_dials_again(
    link: DiaryLink, other: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    adoption = other._dialling._adoption
    adopt = adoption.adopt

    def adopt_without_room(*args: Any) -> None:
        refuse_once(other, monkeypatch)
        monkeypatch.setattr(adoption, "adopt", adopt)
        adopt(*args)

    monkeypatch.setattr(adoption, "adopt", adopt_without_room)
    other.add_connector(link.add_listener(LOCALHOST))
    run_until(lambda: other.disconnected and other.open, link, other)


def test_a_dialling_socket_that_cannot_be_watched_is_a_failed_attempt(
    link: DiaryLink, other: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons: list[str] = []
    link.on_connect_failed.add(lambda address, exc: reasons.append(str(exc)))
    refuse_once(link, monkeypatch)
    link.add_connector(other.add_listener(LOCALHOST))
    run_until(lambda: link.open, link, other)
    (reason,) = reasons
    assert "cannot watch the socket" in reason
    assert "No space left" in reason


def test_a_connection_that_cannot_be_watched_can_be_paused(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = link.add_listener(LOCALHOST)
    link.on_connect.add(lambda conn_id: link.pause_reading(conn_id, "busy"))
    refuse_once(link, monkeypatch)
    with plain_client(address):
        run_until(lambda: link.disconnected, link)
    assert "raised" not in caplog.text


def test_a_listener_whose_socket_is_of_no_use_does_not_spin(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a shutdown, for example, accept(2) says EINVAL again and again."""
    pauses: list[str] = []
    admission = link._dialling._admission
    monkeypatch.setattr(
        admission, "out_of_resources", lambda _, exc, pause: pauses.append(str(exc))
    )
    address = link.add_listener(LOCALHOST)
    link._dialling.listeners[address].sock.shutdown(socket.SHUT_RDWR)
    run_until(lambda: pauses, link)
    pass_once(link)
    pass_once(link)
    assert len(pauses) == 1


def test_a_listener_that_cannot_go_on_after_a_pause_tries_again(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snakemq.link._dialling._listener._ACCEPT_PAUSE", 0.0)
    address = link.add_listener(LOCALHOST)
    (listener,) = link._dialling.listeners.values()
    listener._pause(OSError(errno.EMFILE, "Too many open files"))
    refuse_once(link, monkeypatch)
    with plain_client(address):
        run_until(lambda: link.open, link)


# -- inside callbacks


def test_listener_that_is_deleted_inside_on_connect_accepts_no_more(link: DiaryLink) -> None:
    address = link.add_listener(LOCALHOST)
    link.on_connect.add(lambda _: link.del_listener(address))
    with plain_client(address), plain_client(address):
        pass_once(link, link, link)
        assert len(link.connected) == 1


def test_listener_that_is_replaced_inside_on_connect(
    link: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    """The events of the old one must not be taken for those of the new one."""
    caplog.set_level("INFO", "snakemq.link")
    address = link.add_listener(LOCALHOST)

    def replace(_: str) -> None:
        if len(link.connected) == 1:
            link.del_listener(address)
            link.add_listener(address)

    link.on_connect.add(replace)
    with plain_client(address):
        pass_once(link, link)
        with plain_client(address):
            run_until(lambda: len(link.connected) == 2, link)
    assert "Bad file descriptor" not in caplog.text
