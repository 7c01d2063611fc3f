"""Look-ups that hang: others are made beside them, and their threads do not pile up."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from real_links import DEADLINE, wait_for
from resolver import NAME, Resolver

from snakemq.link._dialling._lookup import Answer, LookUp
from snakemq.link.testing import FakeClock


class Driver:
    connect_timeout = 10.0

    def __init__(self) -> None:
        self.clock = FakeClock(1000.0)
        self.time = self.clock.time
        self.calls: list[Callable[[], object]] = []
        self.called = threading.Semaphore(0)

    def call_from_thread(self, func: Callable[[], object]) -> None:
        self.calls.append(func)
        self.called.release()

    def run_next(self) -> None:
        assert self.called.acquire(timeout=DEADLINE)
        self.calls.pop(0)()


class HangingResolver(Resolver):
    """Makes each look-up hang until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.gates: list[threading.Event] = []
        self.entered = threading.Semaphore(0)
        self.before_answer = self._hang

    def _hang(self) -> None:
        gate = threading.Event()
        self.gates.append(gate)
        self.entered.release()
        wait_for(gate)

    def wait_until_asked(self) -> None:
        assert self.entered.acquire(timeout=DEADLINE)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[HangingResolver]:
    resolver = HangingResolver()
    monkeypatch.setattr("snakemq.link._dialling._lookup.resolve", resolver)
    yield resolver
    for gate in resolver.gates:
        gate.set()
    for thread in resolver.threads:
        thread.join(DEADLINE)


@pytest.fixture
def driver() -> Driver:
    return Driver()


def test_look_ups_beside_one_that_hangs_become_rare(
    driver: Driver, hanging: HangingResolver
) -> None:
    look_up = LookUp(driver, driver, NAME)
    asked_at = []
    for second in range(0, 24 * 3600, 10):
        driver.clock.advance_to(1000.0 + second)
        look_up.forget()
        before = look_up._hanging
        look_up.ask(print)
        if look_up._hanging > before:
            hanging.wait_until_asked()
            asked_at.append(second)
    assert asked_at == [0, 10, 50, 210, 850, 3410, 13650, 54610]
    assert len(hanging.threads) == 8


def test_late_answer_serves_the_question_that_is_open_by_then(
    driver: Driver, hanging: HangingResolver
) -> None:
    answers: list[Answer] = []
    look_up = LookUp(driver, driver, NAME)
    look_up.ask(lambda _: pytest.fail("this one has given up"))
    hanging.wait_until_asked()
    look_up.forget()
    assert not look_up.is_waiting
    driver.clock.advance(5)
    look_up.ask(answers.append)
    assert look_up.is_waiting
    assert len(hanging.threads) == 1  # no second one was started
    hanging.gates[0].set()
    driver.run_next()
    assert answers == ["cannot resolve 'peer.example.org': [Errno -2] no such name"]
    assert not look_up.is_waiting


def test_late_answer_that_nobody_waits_for_is_thrown_away(
    driver: Driver, hanging: HangingResolver
) -> None:
    look_up = LookUp(driver, driver, NAME)
    look_up.ask(lambda _: pytest.fail("this one has given up"))
    hanging.wait_until_asked()
    look_up.forget()
    hanging.gates[0].set()
    driver.run_next()
    look_up.ask(print)
    hanging.wait_until_asked()
    assert len(hanging.threads) == 2
