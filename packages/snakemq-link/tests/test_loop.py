"""The loop: when it sleeps, when it ends, and that nobody's exception ends it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from real_links import LOCALHOST, DiaryLink, connect, pass_once, plain_client, run_until, wait_for

from snakemq.exceptions import LoopError

NewLink = Callable[..., DiaryLink]


@pytest.fixture
def sleeps(link: DiaryLink, monkeypatch: pytest.MonkeyPatch) -> list[float | None]:
    """Record the time-outs with which ``link`` sleeps."""
    timeouts: list[float | None] = []
    poll = link._loop.poller.poll

    def counting(timeout: float | None) -> object:
        timeouts.append(timeout)
        return poll(timeout)

    monkeypatch.setattr(link._loop.poller, "poll", counting)
    return timeouts


# -- sleeping


def test_idle_loop_of_a_connected_pair_sleeps_until_its_end(
    link: DiaryLink, other: DiaryLink, sleeps: list[float | None]
) -> None:
    connect(other, link)
    link.add_listener(LOCALHOST)
    pass_once(link, other)
    sleeps.clear()
    link.loop(runtime=0.3)
    assert len(sleeps) <= 2  # the second one when the system rounds down
    assert sleeps[0] is not None and 0.0 < sleeps[0] <= 0.3


def test_loop_without_timers_and_without_end_sleeps_forever(
    link: DiaryLink, sleeps: list[float | None]
) -> None:
    with plain_client(link.add_listener(LOCALHOST)):
        link.on_connect.add(lambda _: link.stop())
        link.loop()
    assert sleeps == [None]


@pytest.mark.parametrize("what", ["timer", "runtime", "poll_timeout"])
def test_sleep_is_cut_to_what_every_system_takes(
    link: DiaryLink, sleeps: list[float | None], what: str
) -> None:
    """A ttl may be 136 years, but the calls of the system take at most 24.8 days."""
    seconds = 136 * 365 * 86400.0
    if what == "timer":
        link.call_later(seconds, int)
    pass_once(link)
    with plain_client(link.add_listener(LOCALHOST)):
        link.on_connect.add(lambda _: link.stop())
        options: dict[str, Any] = {what: seconds} if what != "timer" else {}
        link.loop(**options)
    assert sleeps[-1] == 3600


def test_loop_sleeps_until_the_next_timer(link: DiaryLink, sleeps: list[float | None]) -> None:
    called: list[float] = []
    start = link.time()
    link.call_later(0.05, lambda: called.append(link.time() - start))
    link.call_later(0.02, lambda: called.append(link.time() - start))
    link.call_later(1000, int).cancel()
    link.loop(runtime=0.1)
    assert called[0] >= 0.02
    assert called[1] >= 0.05
    assert len(sleeps) <= 7


def test_poll_timeout_is_the_longest_time_between_two_passes(
    link: DiaryLink, sleeps: list[float | None]
) -> None:
    link.loop(poll_timeout=0.01, runtime=0.2)
    assert sleeps
    assert all(timeout is not None and timeout <= 0.01 for timeout in sleeps)


def test_data_wakes_the_loop_at_once(link: DiaryLink, sleeps: list[float | None]) -> None:
    with plain_client(link.add_listener(LOCALHOST)) as client:
        run_until(lambda: link.connected, link)
        sleeps.clear()
        link.on_recv.add(lambda *_: link.stop())
        client.sendall(b"x")
        link.loop(runtime=20)
    assert len(sleeps) == 1


def test_timer_that_plans_itself_again_without_delay_does_not_starve_sockets(
    link: DiaryLink,
) -> None:
    def again() -> None:
        link.call_later(0, again)

    link.call_later(0, again)
    with plain_client(link.add_listener(LOCALHOST)) as client:
        client.sendall(b"served")
        run_until(lambda: b"served" in link.received.values(), link)


def test_sender_that_goes_on_inside_on_ready_to_send_does_not_starve_others(
    link: DiaryLink, other: DiaryLink
) -> None:
    greedy, _ = connect(link, other)
    modest, at_other = connect(link, other)
    link.on_ready_to_send.add(lambda conn_id, _: conn_id == greedy and link.send(greedy, b"x"))
    link.send(greedy, b"x")
    other.send(at_other, b"served")
    run_until(lambda: link.received[modest] == b"served", link, other)


def test_bulk_transfer_of_one_connection_does_not_starve_others(
    link: DiaryLink, other: DiaryLink
) -> None:
    connections = [connect(link, other) for _ in range(3)]
    for here, there in connections[:2]:
        link.send_all(here, bytes(30_000_000))
        other.send_all(there, bytes(30_000_000))
    link.send(connections[2][0], b"served")
    run_until(lambda: other.received[connections[2][1]] == b"served", link, other)
    assert all(len(other.received[there]) < 30_000_000 for _, there in connections[:2])


def test_last_call_of_a_pass_is_on_loop_pass(link: DiaryLink, other: DiaryLink) -> None:
    """So the loop does not sleep through what the other callbacks leave for it."""
    here, there = connect(link, other)
    calls: list[str] = []
    link.on_recv.add(lambda *_: calls.append("on_recv"))
    link.on_ready_to_send.add(lambda *_: calls.append("on_ready_to_send"))
    link.on_loop_pass.add(lambda: calls.append("on_loop_pass"))
    link.call_later(0, lambda: calls.append("timer"))
    link.send(here, b"x")
    other.send(there, b"x")
    pass_once(other, link)
    assert {*calls} == {"on_recv", "on_ready_to_send", "timer", "on_loop_pass"}
    assert calls[-1] == "on_loop_pass"


# -- the end


def test_count_ends_after_that_many_passes_with_events(link: DiaryLink) -> None:
    with plain_client(link.add_listener(LOCALHOST)) as client:
        link.loop(count=1)
        assert len(link.connected) == 1
        client.sendall(b"x")
        link.loop(poll_timeout=0.001, count=1)
        assert b"x" in link.received.values()
        before = link.passes
        link.loop(count=0)
        assert link.passes == before


def test_runtime_ends_the_loop(link: DiaryLink) -> None:
    start = time.monotonic()
    link.loop(runtime=0.1)
    assert 0.1 <= time.monotonic() - start < 5


def test_runtime_of_zero_is_one_pass(link: DiaryLink) -> None:
    link.loop(runtime=0)
    assert link.passes == 1


def test_stop_from_another_thread_ends_the_sleep_at_once(link: DiaryLink) -> None:
    thread = threading.Thread(target=link.loop)
    thread.start()
    while not link._loop._sleeping:  # a thread that is stopped while it is starting proves less
        time.sleep(0)
    start = time.monotonic()
    link.stop()
    thread.join()
    assert time.monotonic() - start < 5


def test_stop_inside_a_callback_ends_the_loop_after_this_pass(link: DiaryLink) -> None:
    calls: list[str] = []
    link.call_later(0, lambda: (link.stop(), calls.append("timer")))
    link.on_loop_pass.add(lambda: calls.append("pass"))
    link.loop(runtime=20)
    assert calls == ["timer", "pass"]


def test_stop_before_the_loop_makes_the_next_one_return_and_no_other(link: DiaryLink) -> None:
    link.stop()
    link.loop()
    assert link.passes == 0
    link.loop(runtime=0)
    assert link.passes == 1


def test_stop_in_a_signal_handler_ends_the_sleep_at_once(link: DiaryLink) -> None:
    """The handler runs in the thread of the loop, in the middle of its sleep."""
    main = threading.main_thread().ident
    assert main is not None
    handled = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: (link.stop(), handled.set()))

    def kill_until_awake() -> None:
        # More than once: Python does not see a signal that comes right before the system call.
        while not handled.wait(0.01):
            if link._loop._sleeping:
                signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=kill_until_awake)
    thread.start()
    start = time.monotonic()
    try:
        link.loop(runtime=20)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert time.monotonic() - start < 10


def test_ctrl_c_leaves_the_loop_and_it_can_be_entered_again(link: DiaryLink) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    link.call_later(0, interrupt)
    with pytest.raises(KeyboardInterrupt):
        link.loop()
    assert not link.in_loop()
    link.loop(runtime=0)


# -- the loop is one


def test_loop_inside_the_loop_is_refused(link: DiaryLink) -> None:
    refused: list[Exception] = []

    def enter() -> None:
        try:
            link.loop()
        except LoopError as exc:
            refused.append(exc)
        link.stop()

    link.call_later(0, enter)
    link.loop(runtime=20)
    assert "running already" in str(refused[0])


def test_loop_in_a_second_thread_is_refused(link: DiaryLink) -> None:
    inside, go_on = threading.Event(), threading.Event()
    link.call_later(0, lambda: (inside.set(), go_on.wait()))
    thread = threading.Thread(target=link.loop)
    thread.start()
    wait_for(inside)
    try:
        with pytest.raises(LoopError, match="running already, in another thread"):
            link.loop()
    finally:
        go_on.set()
        link.stop()
        thread.join()
    link.loop(runtime=0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # is what this is about
def test_loop_in_a_forked_child_is_refused(link: DiaryLink, other: DiaryLink) -> None:
    here, there = connect(link, other)
    (connector,) = other._dialling.connectors
    attempts: dict[str, Callable[[], object]] = {
        "loop": lambda: other.loop(runtime=0),
        "add_connector": lambda: other.add_connector(("localhost", 4000)),
        "add_listener": lambda: other.add_listener(LOCALHOST),
        "del_connector": lambda: other.del_connector(connector),
        "send": lambda: other.send(there, b"of the child"),
        "close": lambda: other.close(there),
        "cleanup": other.cleanup,
    }
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for name, attempt in attempts.items():
                try:
                    attempt()
                except LoopError as exc:
                    if "fork" in str(exc):
                        os.write(writer, f"{name} ".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert pipe.read().split() == list(attempts)
    link.send(here, b"the parent's connection is unharmed")
    run_until(lambda: other.received[there], link, other)
