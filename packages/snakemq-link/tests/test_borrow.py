"""A thread that is the loop for a moment, while the loop sleeps."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from real_links import DEADLINE, DiaryLink, connect, run_until, running, wait_for

from snakemq.link._loop._poller import Handler


def borrow(link: DiaryLink) -> None:
    """Borrow the loop as soon as it sleeps."""
    deadline = time.monotonic() + DEADLINE
    while not link.borrow():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0)


@contextmanager
def borrowed(link: DiaryLink) -> Iterator[None]:
    borrow(link)
    try:
        yield
    finally:
        link.give_back()


@pytest.fixture
def awake(link: DiaryLink, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set whenever the system has woken the loop of ``link``."""
    event = threading.Event()
    poll = link._loop.poller.poll

    def watched(timeout: float | None) -> list[tuple[Handler, int]]:
        try:
            return poll(timeout)
        finally:
            event.set()

    monkeypatch.setattr(link._loop.poller, "poll", watched)
    return event


class InThread:
    """Runs something in a thread of its own, and keeps what it returned or raised."""

    def __init__(self, func: Callable[[], object]) -> None:
        self.outcome: object = None
        self._func = func
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome = self._func()
        except BaseException as exc:
            self.outcome = exc

    def join(self) -> object:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "waited in vain"
        return self.outcome


def be_busy(link: DiaryLink, other: DiaryLink, here: str, there: str) -> None:
    """Give a loop that does not wait for its borrower enough time to be caught."""
    known = len(other.received[there])
    for count in range(1, 201):
        assert link.send_at_once(here, b"x")
        run_until(lambda n=count: len(other.received[there]) == known + n, other)  # type: ignore[misc]


def test_thread_sends_while_it_has_borrowed_the_loop(link: DiaryLink, other: DiaryLink) -> None:
    here, there = connect(link, other)
    with running(link), borrowed(link):
        passes = link.passes
        for data in (b"one", b"two", b"three"):
            assert link.send_at_once(here, data)
        run_until(lambda: other.received[there] == b"onetwothree", other)
        assert link.passes == passes, "the loop was woken"


def test_loop_can_be_borrowed_again_and_again(link: DiaryLink, other: DiaryLink) -> None:
    here, there = connect(link, other)
    with running(link):
        for _ in range(100):
            with borrowed(link):
                assert link.send_at_once(here, b"x")
    run_until(lambda: other.received[there] == b"x" * 100, other)


@pytest.mark.parametrize("ring", ["wakeup_poll", "call_from_thread", "data", "timer"])
def test_no_callback_is_called_before_the_loop_is_given_back(
    link: DiaryLink, other: DiaryLink, awake: threading.Event, ring: str
) -> None:
    here, there = connect(link, other)
    is_borrowed = False
    was_borrowed: list[bool] = []
    called = threading.Event()

    def callback(*_: object) -> None:
        was_borrowed.append(is_borrowed)
        called.set()

    for event in (link.on_recv, link.on_loop_pass):
        event.add(callback)
    with running(link):
        with borrowed(link):
            is_borrowed = True
            called.clear()
            awake.clear()
            if ring == "wakeup_poll":
                link.wakeup_poll()
            elif ring == "call_from_thread":
                link.call_from_thread(callback)
            elif ring == "data":
                assert other.send_at_once(there, b"x")
            else:
                link.call_later(0, callback)
            wait_for(awake)
            be_busy(link, other, here, there)
            is_borrowed = False
        wait_for(called)
    assert True not in was_borrowed


def test_the_loop_catches_up_when_it_is_given_back(link: DiaryLink, other: DiaryLink) -> None:
    _, there = connect(link, other)
    timer, call, data = (threading.Event() for _ in range(3))
    link.on_recv.add(lambda *_: data.set())
    with running(link):
        with borrowed(link):
            link.call_later(0, timer.set)
            link.call_from_thread(call.set)
            assert other.send_at_once(there, b"x")
        for event in (timer, call, data):
            wait_for(event)


def test_the_thread_of_the_loop_can_always_borrow_it(link: DiaryLink, other: DiaryLink) -> None:
    here, there = connect(link, other)
    answers: dict[str, bool] = {}

    def ask(where: str) -> Callable[..., None]:
        def borrow_again(*_: object) -> None:
            answers[where] = link.borrow() and link.borrow()
            link.give_back()
            link.give_back()

        return borrow_again

    link.call_later(0, ask("timer"))
    link.call_from_thread(ask("call"))
    link.on_loop_pass.add(ask("pass"))
    link.on_recv.add(ask("data"))
    link.on_ready_to_send.add(ask("report"))
    link.on_disconnect.add(ask("end"))
    link.send(here, b"x")
    assert other.send_at_once(there, b"x")
    other.close(there)
    run_until(lambda: len(answers) == 6, link)
    assert all(answers.values()), answers
    assert not link.borrow()
    with running(link), borrowed(link):
        pass


# -- who cannot have it


def test_loop_that_does_not_run_cannot_be_borrowed(link: DiaryLink) -> None:
    assert not link.borrow()
    link.loop(runtime=0)
    assert not link.borrow()
    with running(link), borrowed(link):
        pass
    assert not link.borrow()
    link.cleanup()
    assert not link.borrow()


def test_loop_that_is_busy_cannot_be_borrowed(link: DiaryLink) -> None:
    begun, ended = threading.Event(), threading.Event()

    def callback() -> None:
        begun.set()
        wait_for(ended)

    with running(link):
        link.call_from_thread(callback)
        wait_for(begun)
        assert not link.borrow()
        ended.set()
        with borrowed(link):
            pass


def test_two_threads_cannot_borrow_at_once(link: DiaryLink) -> None:
    with running(link):
        with borrowed(link):
            assert InThread(link.borrow).join() is False

        def take_turns() -> bool:
            with borrowed(link):
                return True

        assert InThread(take_turns).join() is True


# -- the end of a loop


class InterruptedBaton:
    """Ctrl-C comes while the loop waits for it, once :attr:`is_armed` is set."""

    def __init__(self) -> None:
        self.is_armed = False
        self._lock = threading.RLock()
        self.release = self._lock.release

    def acquire(self, blocking: bool = True) -> bool:
        if self.is_armed and blocking:
            self.is_armed = False
            raise KeyboardInterrupt
        return self._lock.acquire(blocking)


@pytest.mark.parametrize("end", ["stopped", "interrupted", "interrupted as it waits"])
def test_loop_does_not_end_before_it_is_given_back(
    link: DiaryLink, other: DiaryLink, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    here, there = connect(link, other)
    order: list[str] = []
    awake = threading.Event()
    poll = link._loop.poller.poll

    def watched(timeout: float | None) -> list[tuple[Handler, int]]:
        events = poll(timeout)
        if not awake.is_set():
            baton.is_armed = end == "interrupted as it waits"
            awake.set()
            if end == "interrupted":
                raise KeyboardInterrupt
        return events

    def loop() -> None:
        try:
            link.loop()
        finally:
            order.append("ended")

    monkeypatch.setattr(link._loop.poller, "poll", watched)
    link._loop._baton = baton = InterruptedBaton()  # type: ignore[assignment]
    link.give_back = link._loop.give_back = baton.release
    thread = InThread(loop)
    with borrowed(link):
        link.stop()
        wait_for(awake)
        be_busy(link, other, here, there)
        order.append("given back")
    assert isinstance(thread.join(), KeyboardInterrupt) == (end != "stopped")
    assert order == ["given back", "ended"]


def test_cleanup_waits_for_the_borrower(link: DiaryLink, other: DiaryLink) -> None:
    here, there = connect(link, other)
    loop = InThread(link.loop)
    with borrowed(link):
        cleanup = InThread(link.cleanup)
        be_busy(link, other, here, there)
        assert not link.disconnected
    assert cleanup.join() is loop.join() is None
    assert link.disconnected == [here]


@pytest.mark.parametrize("where", ["callback", "poll", "poll, before it slept"])
def test_loop_that_was_interrupted_can_be_entered_and_borrowed_again(
    link: DiaryLink, other: DiaryLink, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    here, there = connect(link, other)

    def interrupted(*_: object) -> list[tuple[Handler, int]]:
        monkeypatch.undo()
        raise KeyboardInterrupt

    if where == "callback":
        link.call_from_thread(interrupted)
    elif where == "poll":
        monkeypatch.setattr(link._loop.poller, "poll", interrupted)
    else:
        monkeypatch.setattr(link._loop, "_sleep_time", interrupted)
    with pytest.raises(KeyboardInterrupt):
        link.loop(runtime=10)
    assert not link.borrow()
    assert InThread(link.borrow).join() is False
    with running(link), borrowed(link):
        assert link.send_at_once(here, b"x")
    link.loop(runtime=0)
    run_until(lambda: other.received[there] == b"x", other)


# -- all at once

THREADS = 4
ROUNDS = 1000
UNIT = 24
"""Bytes of what is sent at once. All of them fit into the buffers of the system."""


def test_many_borrowers_and_the_loop_never_send_into_each_other(
    link: DiaryLink, other: DiaryLink
) -> None:
    here, there = connect(link, other)
    sent: list[bytes] = []
    inside: list[str] = []
    trespasses: list[list[str]] = []
    answered = threading.Event()

    def send(who: str) -> None:
        """Two sends in a row are one unit."""
        inside.append(who)
        if len(inside) > 1:
            trespasses.append([*inside])
        unit = f"{who} {len(sent)}".ljust(UNIT).encode()
        sent.append(unit)
        assert link.send_at_once(here, unit[: UNIT // 2])
        assert link.send_at_once(here, unit[UNIT // 2 :])
        inside.remove(who)

    def work(number: int) -> None:
        dice = random.Random(number)
        for _ in range(ROUNDS):
            with borrowed(link):
                for _ in range(dice.randrange(3)):
                    send(f"thread {number}")
            if dice.random() < 0.2:
                link.call_from_thread(lambda: send("call"))
            elif dice.random() < 0.2:
                link.wakeup_poll()

    def on_recv(conn_id: str, data: bytes) -> None:
        if len(sent) < 10 * THREADS * ROUNDS:
            send("loop")
        answered.set()

    def answer(conn_id: str, data: bytes) -> None:
        other.send_at_once(there, b"x")

    link.on_recv.add(on_recv)
    other.on_recv.add(answer)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with running(link, other):
            link.call_from_thread(lambda: send("call"))
            wait_for(answered)
            threads = [InThread(partial(work, number)) for number in range(THREADS)]
            assert [thread.join() for thread in threads] == [None] * THREADS
            done = threading.Event()
            link.call_from_thread(done.set)
            wait_for(done)
    finally:
        sys.setswitchinterval(interval)
    run_until(lambda: len(other.received[there]) >= len(sent) * UNIT, link, other)
    stream = bytes(other.received[there])
    assert [stream[at : at + UNIT] for at in range(0, len(stream), UNIT)] == sent
    assert not trespasses
    assert {unit[:4] for unit in sent} == {b"thre", b"call", b"loop"}


def test_loop_sends_what_a_borrower_could_not(link: DiaryLink, other: DiaryLink) -> None:
    here, there = connect(link, other)
    data = bytes(16 * 1024 * 1024)  # more than a system keeps for a connection
    with running(link):
        with borrowed(link):
            passes = link.passes
            assert not link.send_at_once(here, data)
        run_until(lambda: link.sent[here], other)
        assert link.passes > passes
    assert 0 < link.sent[here] <= len(data)
    assert other.open == [there]
