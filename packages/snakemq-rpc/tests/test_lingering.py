"""When a thread that waits for a reply stays awake, and when it sleeps."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import pytest

from snakemq.rpc._calls import _lingering
from snakemq.rpc._calls._lingering import FEW_LOOKS, REST, SOON, Lingering

LOOK = SOON / 50
"""Seconds that a look takes here."""


class World:
    """A clock, a CPU that can be given away, and locks that are released in time."""

    def __init__(self) -> None:
        self.now = 100.0
        self.looks = 0
        self.slept: list[float | None] = []
        self.while_others_run: Callable[[], object] = lambda: None

    def let_others_run(self) -> None:
        self.looks += 1
        self.now += LOOK
        self.while_others_run()


class Lock:
    """Is released ``after`` seconds; whoever sleeps for it moves the clock."""

    def __init__(self, world: World, after: float) -> None:
        self._world = world
        self._when = world.now + after

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        world = self._world
        if blocking:
            world.slept.append(timeout)
            if timeout is not None and world.now + timeout < self._when:
                world.now += timeout
                return False
            world.now = max(world.now, self._when)
        return world.now >= self._when


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(_lingering, "_is_bound_to_one_cpu", lambda: True)
    monkeypatch.setattr(_lingering.os, "sched_yield", world.let_others_run, raising=False)
    monkeypatch.setattr(_lingering.time, "monotonic", lambda: world.now)
    return world


def wait(lingering: Lingering, world: World, after: float, timeout: float | None = None) -> bool:
    return lingering.wait(Lock(world, after), timeout)  # type: ignore[arg-type]


SHORT = 20 * LOOK
LONG = 2 * SOON


def test_thread_lingers_and_does_not_sleep_for_what_comes_soon(world: World) -> None:
    lingering = Lingering()
    for _ in range(3):
        assert wait(lingering, world, SHORT)
    assert world.looks == pytest.approx(60, abs=3)
    assert not world.slept


def test_thread_sleeps_for_what_does_not_come_soon(world: World) -> None:
    assert wait(Lingering(), world, LONG)
    assert world.looks == pytest.approx(SOON / LOOK, abs=1)
    assert world.slept == [None]


def test_after_a_long_wait_it_sleeps_until_one_was_short(world: World) -> None:
    lingering = Lingering()
    wait(lingering, world, LONG)
    looks = world.looks
    for after in (LONG, LONG, SHORT):
        assert wait(lingering, world, after)
        assert world.looks == looks
    assert wait(lingering, world, SHORT)
    assert world.looks > looks


def test_it_rests_when_others_have_had_the_cpu_twice_in_a_row(world: World) -> None:
    lingering = Lingering()
    for _ in range(2):
        assert wait(lingering, world, FEW_LOOKS * LOOK)
    looks = world.looks
    assert looks <= 2 * FEW_LOOKS
    for _ in range(REST):
        assert wait(lingering, world, SHORT)
        assert world.looks == looks
    assert wait(lingering, world, SHORT)  # that was short: from the next one on
    assert wait(lingering, world, SHORT)
    assert world.looks > looks


def test_it_does_not_rest_when_that_has_happened_once(world: World) -> None:
    lingering = Lingering()
    for after in (FEW_LOOKS * LOOK, SHORT, FEW_LOOKS * LOOK, SHORT):
        assert wait(lingering, world, after)
    assert not world.slept


def test_only_one_thread_lingers_at_a_time(world: World) -> None:
    lingering = Lingering()

    def another_one_waits() -> None:
        world.while_others_run = lambda: None
        assert wait(lingering, world, SHORT)

    world.while_others_run = another_one_waits
    assert wait(lingering, world, 2 * SHORT)
    assert world.slept == [None]


def test_time_out_ends_the_wait(world: World) -> None:
    began = world.now
    assert not wait(Lingering(), world, 10.0, timeout=1.0)
    assert world.now - began == pytest.approx(1.0 + SOON, abs=2 * LOOK)


def test_time_out_that_is_shorter_than_lingering_is_slept(world: World) -> None:
    began = world.now
    assert not wait(Lingering(), world, 10.0, timeout=SOON / 2)
    assert world.now - began == pytest.approx(SOON / 2)
    assert not world.looks


def test_nobody_lingers_in_a_process_that_may_use_several_cpus(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_lingering, "_is_bound_to_one_cpu", lambda: False)
    lingering = Lingering()
    for _ in range(3):
        assert wait(lingering, world, SHORT)
    assert not world.looks
    assert world.slept == [None] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="others cannot be asked")
def test_what_a_process_is_bound_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3})
    assert _lingering._is_bound_to_one_cpu()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert not _lingering._is_bound_to_one_cpu()


def test_real_lock_that_another_thread_releases() -> None:
    lingering = Lingering()
    lingering._is_bound = lingering._may_linger = hasattr(os, "sched_yield")
    for _ in range(100):
        lock = threading.Lock()
        lock.acquire()
        thread = threading.Thread(target=lock.release)
        thread.start()
        assert lingering.wait(lock, 10.0)
        thread.join()
