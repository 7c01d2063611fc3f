"""Waking the loop: from any thread, any number of times, and never in vain."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from itertools import count
from types import FrameType
from typing import Any

import pytest
from real_links import DEADLINE, DiaryLink, run_until, running, wait_for

from snakemq.link._loop._poller import EpollPoller, Poller
from snakemq.link._loop._selector_poller import SelectorPoller
from snakemq.link._loop._wakeup import EventWakeUp, SocketWakeUp, make_wakeup


def test_storm_of_wakeups_without_a_loop_never_blocks(link: DiaryLink) -> None:
    """On 1.6 the 65,537th call blocked forever, and with it every thread that sent a message."""
    for _ in range(100_000):
        link.wakeup_poll()
    link.loop(runtime=0)
    assert link.passes == 1


def test_storm_of_wakeups_inside_a_callback_never_blocks(link: DiaryLink) -> None:
    def storm() -> None:
        for _ in range(100_000):
            link.wakeup_poll()

    link.call_later(0, storm)
    link.loop(runtime=0)
    assert link.passes == 1


def test_storm_of_wakeups_from_threads_while_the_loop_runs(link: DiaryLink) -> None:
    def storm() -> None:
        for _ in range(20_000):
            link.wakeup_poll()

    threads = [threading.Thread(target=storm) for _ in range(4)]
    with running(link):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
    assert link.passes


POLLERS: list[type[SelectorPoller | EpollPoller]] = [SelectorPoller]
if hasattr(select, "epoll"):
    POLLERS.append(EpollPoller)


def sleep_is_over(poller: Poller) -> bool:
    """Return True if the poller wakes without a wait."""
    events = poller.poll(0)
    for handler, mask in events:
        handler(mask)
    return bool(events)


@pytest.mark.parametrize("kind", POLLERS)
def test_each_ring_of_the_bell_ends_one_sleep(kind: type[Poller]) -> None:
    with closing(kind()) as poller, closing(make_wakeup(poller)) as bell:
        assert not sleep_is_over(poller)
        for _ in range(3):
            bell.ring()
            bell.ring()
            assert sleep_is_over(poller)
            assert not sleep_is_over(poller)


@pytest.mark.parametrize("kind", POLLERS)
def test_bell_that_is_rung_more_often_than_it_can_hold_does_not_block(kind: type[Poller]) -> None:
    with closing(kind()) as poller:
        bell = make_wakeup(poller)
        for _ in range(100_000):
            bell.ring()
        assert sleep_is_over(poller)
        assert not sleep_is_over(poller)
        bell.close()
        bell.ring()  # nobody is left to be woken


@pytest.mark.skipif(not hasattr(os, "eventfd"), reason="this system has another bell")
def test_bell_of_the_system_that_is_full_does_not_block() -> None:
    with closing(EpollPoller()) as poller:
        bell = EventWakeUp(poller)
        os.eventfd_write(bell._file.fileno(), 2**64 - 2)
        bell.ring()
        assert sleep_is_over(poller)
        bell.close()


def test_a_pair_of_sockets_is_the_bell_where_nothing_better_exists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "eventfd", raising=False)
    for kind in POLLERS:
        with closing(kind()) as poller, closing(make_wakeup(poller)) as bell:
            assert isinstance(bell, SocketWakeUp)


def test_each_wakeup_from_a_thread_is_followed_by_a_pass(link: DiaryLink) -> None:
    """Handshakes between two threads, as quick as they can be: a lost wake-up ends in a timeout."""
    wanted = 0
    seen = threading.Event()

    def look() -> None:
        if wanted > look.done:  # type: ignore[attr-defined]
            look.done = wanted  # type: ignore[attr-defined]
            seen.set()

    look.done = 0  # type: ignore[attr-defined]
    link.on_loop_pass.add(look)
    with running(link):
        for _ in range(2000):
            seen.clear()
            wanted += 1
            link.wakeup_poll()
            wait_for(seen)


def test_each_call_from_a_thread_is_made(link: DiaryLink) -> None:
    calls: list[int] = []
    with running(link):
        for number in range(2000):
            made = threading.Event()
            link.call_from_thread(
                lambda number=number, made=made: (calls.append(number), made.set())  # type: ignore[misc]
            )
            wait_for(made)
    assert calls == list(range(2000))


def run_interrupted(link: DiaryLink, step: int, call: Callable[[], object]) -> bool:
    """One pass; before its ``step``-th line of code another thread asks the link to make a call.

    False when the pass has not that many.
    """
    steps = count()

    def interrupt() -> None:
        if next(steps) == step:
            sys.settrace(None)
            caller = threading.Thread(target=link.call_from_thread, args=(call,))
            caller.start()
            caller.join()

    def trace(frame: FrameType, _event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename.endswith(("_link.py", "_loop.py")):
            interrupt()
            return lambda *_: interrupt()
        return None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        link.loop(runtime=0)
    finally:
        sys.settrace(before)
    return next(steps) > step


def test_call_from_a_thread_is_not_lost_whenever_it_comes(link: DiaryLink) -> None:
    """Between any two steps of a pass, also where a wake-up that is under way makes others
    superfluous: each step of the first pass is interrupted once by another thread."""
    for step in range(1000):
        made = threading.Event()
        link.wakeup_poll()
        if not run_interrupted(link, step, made.set):
            return  # there is no such step any more
        sleep = link._loop._sleep_time(None, None)
        assert made.is_set() or sleep == 0, f"lost in step {step}"
        link.loop(runtime=0)
        assert made.is_set()
    raise AssertionError("a pass has no end")


def test_call_that_is_added_by_a_call_is_made_too(link: DiaryLink) -> None:
    calls: list[int] = []

    def call(number: int) -> None:
        calls.append(number)
        if number < 5:
            link.call_from_thread(lambda: call(number + 1))

    link.call_from_thread(lambda: call(0))
    run_until(lambda: calls == [0, 1, 2, 3, 4, 5], link)


def test_wakeup_inside_on_loop_pass_leads_to_one_more_pass(link: DiaryLink) -> None:
    link.on_loop_pass.add(lambda: link.wakeup_poll() if link.passes < 3 else link.stop())
    link.wakeup_poll()
    link.loop(runtime=20)
    assert link.passes == 3


def test_timer_from_outside_the_loop_shortens_its_sleep(link: DiaryLink) -> None:
    fired = threading.Event()
    with running(link):
        link.call_from_thread(lambda: link.call_later(0.001, fired.set))
        wait_for(fired)
