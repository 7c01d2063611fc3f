"""The end of a link: from wherever it is called, everything goes and nothing hangs."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from real_links import (
    DEADLINE,
    LOCALHOST,
    DiaryLink,
    connect,
    pass_once,
    plain_client,
    run_until,
    running,
    wait_for,
)

from snakemq.exceptions import LoopError, NoConnection

NewLink = Callable[..., DiaryLink]


def test_everything_is_closed(link: DiaryLink, other: DiaryLink, tmp_path: Path) -> None:
    here, _ = connect(link, other)
    there, _ = connect(other, link)
    address = link.add_listener(LOCALHOST)
    link.add_listener(tmp_path / "peer.socket")
    link.add_connector(tmp_path / "nobody")
    with plain_client(address) as client:
        run_until(lambda: len(link.connected) == 3, link)
        link.cleanup()
        assert client.recv(1) == b""
    assert sorted(link.disconnected) == sorted(link.connected)
    assert not (tmp_path / "peer.socket").exists()
    with pytest.raises(ConnectionRefusedError), plain_client(address):
        pass
    run_until(lambda: {*other.disconnected} >= {there}, other)
    with pytest.raises(NoConnection):
        link.send(here, b"x")


def test_another_thread_that_cleans_up_lets_the_layers_send_first(link: DiaryLink) -> None:
    told: list[str] = []
    link.on_loop_pass.add_internal(lambda: told.append("pass"))
    link.on_closing.add(lambda: told.append("closing"))
    link.on_closed.add(lambda: told.append("closed"))
    with running(link):
        link.cleanup()
    assert told[told.index("closing") :] == ["closing", "pass", "closed", "pass"]


def test_what_is_sent_on_closing_arrives(link: DiaryLink, other: DiaryLink) -> None:
    here, there = connect(link, other)
    told: list[str] = []

    def on_closing() -> None:
        told.append("cleanup")
        link.send(here, b"last words")

    link.on_closing.add(on_closing)
    link.on_loop_pass.add(lambda: told.append("pass"))
    link.cleanup()
    link.cleanup()
    assert told == ["cleanup", "pass"]
    run_until(lambda: there in other.disconnected, other)
    assert other.received[there] == b"last words"


def test_cleanup_is_idempotent_and_ends_the_link(link: DiaryLink) -> None:
    link.cleanup()
    link.cleanup()
    for use in (
        link.loop,
        lambda: link.add_connector(("localhost", 4000)),
        lambda: link.add_listener(LOCALHOST),
    ):
        with pytest.raises(LoopError, match="cleaned up"):
            use()
    link.wakeup_poll()
    link.stop()
    link.call_later(0, int).cancel()
    link.call_from_thread(int)


def test_no_socket_is_left_open(new_link: NewLink) -> None:
    """An open socket would cause a ResourceWarning, which is an error here."""
    link, other = new_link(), new_link()
    connect(link, other)
    link.cleanup()
    other.cleanup()
    del link, other
    gc.collect()


@pytest.mark.parametrize(
    "event", ["on_connect", "on_recv", "on_ready_to_send", "on_disconnect", "on_loop_pass"]
)
def test_cleanup_inside_a_callback_ends_the_loop(
    link: DiaryLink, other: DiaryLink, event: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = link.add_listener(LOCALHOST)
    other.add_connector(address)
    other.add_connector(("127.0.0.1", link.add_listener(LOCALHOST)[1]))
    if event != "on_connect":
        run_until(lambda: len(link.connected) == 2 == len(other.connected), link, other)
        link.send(link.connected[0], b"x")
        other.send(other.connected[0], b"x")
        if event == "on_disconnect":
            other.close(other.connected[1])
    pass_once(other)
    getattr(link, event).add(lambda *_: link.cleanup())
    link.wakeup_poll()  # an event of the bell in the same pass
    link._loop._wakeup.ring()
    link.loop()
    assert sorted(link.disconnected) == sorted(link.connected)
    assert link.connected
    with pytest.raises(LoopError):
        link.loop()
    assert "raised" not in caplog.text


def test_cleanup_inside_a_timer_ends_the_loop(link: DiaryLink, other: DiaryLink) -> None:
    connect(link, other)
    link.call_later(0, link.cleanup)
    link.loop()
    assert not link.open


def test_cleanup_from_another_thread_wakes_the_loop_and_waits_for_its_end(
    link: DiaryLink, other: DiaryLink
) -> None:
    connect(link, other)
    thread = threading.Thread(target=link.loop)
    thread.start()
    while not link._loop._sleeping:
        time.sleep(0)
    link.cleanup()
    assert not link.open
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_cleanup_from_another_thread_waits_while_callbacks_run(
    link: DiaryLink, other: DiaryLink
) -> None:
    connect(link, other)
    inside, go_on = threading.Event(), threading.Event()
    ended: list[str] = []

    def callback() -> None:
        inside.set()
        wait_for(go_on)
        ended.append("callback")

    link.call_later(0, callback)
    loop = threading.Thread(target=link.loop)
    loop.start()
    wait_for(inside)
    cleaner = threading.Thread(target=lambda: (link.cleanup(), ended.append("cleanup")))
    cleaner.start()
    while not link._loop._from_threads:
        time.sleep(0)
    assert link.open
    go_on.set()
    for thread in (loop, cleaner):
        thread.join(DEADLINE)
    assert ended == ["callback", "cleanup"]
    assert not link.open


def test_callbacks_of_cleanup_are_called_in_the_thread_of_the_loop(
    link: DiaryLink, other: DiaryLink
) -> None:
    connect(link, other)
    threads: list[threading.Thread] = []
    in_loop: list[bool] = []

    def on_disconnect(_: str) -> None:
        threads.append(threading.current_thread())
        in_loop.append(link.in_loop())

    link.on_disconnect.add(on_disconnect)
    loop = threading.Thread(target=link.loop)
    loop.start()
    while not link._loop._sleeping:
        time.sleep(0)
    link.cleanup()
    loop.join(DEADLINE)
    assert threads == [loop]
    assert in_loop == [True]


def test_cleanup_without_a_loop_calls_callbacks_in_its_own_thread(
    link: DiaryLink, other: DiaryLink
) -> None:
    connect(link, other)
    threads: list[threading.Thread] = []
    link.on_disconnect.add(lambda _: threads.append(threading.current_thread()))
    link.cleanup()
    assert threads == [threading.current_thread()]


def test_cleanup_gives_up_when_a_callback_blocks_the_loop(
    link: DiaryLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snakemq.link._loop._loop._CLEANUP_TIMEOUT", 0.01)
    inside, go_on = threading.Event(), threading.Event()
    link.call_later(0, lambda: (inside.set(), wait_for(go_on)))
    with running(link):
        wait_for(inside)
        with pytest.raises(LoopError, match=r"did not end within 0\.01 s"):
            link.cleanup()
        go_on.set()


def test_cleanup_by_several_threads_at_once(link: DiaryLink, other: DiaryLink) -> None:
    connect(link, other)
    loop = threading.Thread(target=link.loop)
    cleaners = [threading.Thread(target=link.cleanup) for _ in range(4)]
    link.call_later(0, link.cleanup)
    for thread in (loop, *cleaners):
        thread.start()
    for thread in (loop, *cleaners):
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert link.disconnected == link.connected


def test_callbacks_of_cleanup_may_delete_and_clean_up_too(
    link: DiaryLink, other: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        connect(other, link)
    address = link.add_listener(LOCALHOST)
    connectors = list(link._dialling.connectors)

    def on_disconnect(_: str) -> None:
        if link.open:
            for connector in connectors:
                if connector in link._dialling.connectors:
                    link.del_connector(connector)
            link.del_listener(address)
        link.cleanup()

    link.on_disconnect.add(on_disconnect)
    link.cleanup()
    assert len(link.disconnected) == 2
    assert "raised" not in caplog.text


def test_cleanup_before_the_loop_of_a_thread_has_begun(new_link: NewLink) -> None:
    """Whichever comes first, neither hangs and neither meets a closed selector."""
    for _ in range(200):
        link = new_link()
        outcome: list[object] = []

        def run(link: DiaryLink = link, outcome: list[object] = outcome) -> None:
            try:
                link.loop()
                outcome.append("ended")
            except LoopError:
                outcome.append("refused")

        thread = threading.Thread(target=run)
        thread.start()
        link.cleanup()
        thread.join(DEADLINE)
        assert outcome in (["ended"], ["refused"])


def test_socket_of_a_connection_is_there_until_it_is_closed(
    link: DiaryLink, other: DiaryLink
) -> None:
    here, _ = connect(link, other)
    sock = link.get_socket_by_conn(here)
    assert sock.fileno() > 0
    assert isinstance(sock.sock, socket.socket)
    assert sock.getpeercert() is None
    link.close(here)
    with pytest.raises(NoConnection):
        link.get_socket_by_conn(here)
    with pytest.raises(NoConnection):
        link.close(here)
