"""The heap of timers against a sorted list."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from snakemq.link._loop._timers import Timer, TimerHeap


def run(heap: TimerHeap, now: float) -> None:
    for func in heap.pop_due(now):
        func()


@given(st.lists(st.floats(0, 10)), st.floats(0, 10))
def test_due_timers_are_called_in_the_order_of_their_time(times: list[float], now: float) -> None:
    heap = TimerHeap()
    called: list[tuple[float, int]] = []
    for number, when in enumerate(times):
        heap.add(when, lambda entry=(when, number): called.append(entry))  # type: ignore[misc]
    run(heap, now)
    planned = sorted((when, number) for number, when in enumerate(times))
    assert called == [entry for entry in planned if entry[0] <= now]
    later = [when for when, _ in planned if when > now]
    assert heap.next_time() == (later[0] if later else None)
    assert len(heap) == len(later)


class Model(RuleBasedStateMachine):
    """A model of the heap: a list that is sorted each time."""

    def __init__(self) -> None:
        super().__init__()
        self.heap = TimerHeap()
        self.now = 0.0
        self.planned: list[tuple[float, int, Timer]] = []
        self.handles: list[Timer] = []
        self.called: list[int] = []

    @rule(delay=st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0, 50.0]))
    def add(self, delay: float) -> None:
        number = len(self.handles)
        timer = self.heap.add(self.now + delay, lambda: self.called.append(number))
        self.handles.append(timer)
        self.planned.append((self.now + delay, number, timer))

    @rule(count=st.integers(1, 200))
    def add_many_and_cancel_them(self, count: int) -> None:
        """The heap sweeps out deadlines that were kept."""
        for timer in [self.heap.add(self.now + 1000, self.fail) for _ in range(count)]:
            timer.cancel()

    def fail(self) -> None:
        raise AssertionError("a cancelled timer was called")

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.handles:
            timer = data.draw(st.sampled_from(self.handles))
            timer.cancel()
            self.planned = [entry for entry in self.planned if entry[2] is not timer]

    @rule(step=st.sampled_from([0.0, 0.5, 1.0, 5.0]))
    def move_on(self, step: float) -> None:
        self.now += step
        due = sorted(entry[:2] for entry in self.planned if entry[0] <= self.now)
        self.planned = [entry for entry in self.planned if entry[0] > self.now]
        self.called.clear()
        run(self.heap, self.now)
        assert self.called == [number for _, number in due]

    @rule(data=st.data())
    def one_that_is_due_cancels_another(self, data: st.DataObject) -> None:
        if self.planned:
            _, number, victim = data.draw(st.sampled_from(self.planned))
            self.heap.add(-1.0, victim.cancel)
            self.planned = [entry for entry in self.planned if entry[1] != number]
            self.move_on(0.0)

    @invariant()
    def knows_the_next_one_and_how_many(self) -> None:
        assert self.heap.next_time() == min((when for when, _, _ in self.planned), default=None)
        assert len(self.heap) == len(self.planned)


TestModel: Any = Model.TestCase


def test_timer_that_is_added_while_others_are_called_waits_for_the_next_time() -> None:
    """A timer that plans itself again without delay must not keep the loop from its sockets."""
    heap = TimerHeap()
    calls: list[int] = []

    def again() -> None:
        calls.append(1)
        heap.add(0.0, again)

    heap.add(0.0, again)
    for count in (1, 2, 3):
        run(heap, 0.0)
        assert len(calls) == count


def test_cancelled_timers_do_not_stay_in_memory() -> None:
    heap = TimerHeap()
    keeper = heap.add(1.0, int)
    for _ in range(10_000):
        heap.add(1000.0, int).cancel()
        assert len(heap._heap) < 150
    assert heap.next_time() == keeper.when


def test_cancelling_is_idempotent_also_after_the_call() -> None:
    heap = TimerHeap()
    timer = heap.add(0.0, int)
    other = heap.add(1.0, int)
    run(heap, 0.0)
    timer.cancel()
    timer.cancel()
    other.cancel()
    other.cancel()
    assert len(heap) == 0
    assert heap.next_time() is None


def test_timers_that_were_due_as_well_survive_an_interruption() -> None:
    heap = TimerHeap()
    called: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    heap.add(0.0, interrupt)
    heap.add(0.0, lambda: called.append("second"))
    cancelled = heap.add(0.0, lambda: called.append("cancelled"))
    heap.add(1.0, lambda: called.append("third"))
    with pytest.raises(KeyboardInterrupt):
        run(heap, 5.0)
    cancelled.cancel()
    assert len(heap) == 2
    run(heap, 5.0)
    assert called == ["second", "third"]
    assert heap.next_time() is None


def test_timer_that_was_added_meanwhile_survives_an_interruption() -> None:
    heap = TimerHeap()
    called: list[str] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    heap.add(0.0, lambda: heap.add(0.0, lambda: called.append("added")))
    heap.add(1.0, interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(heap, 5.0)
    run(heap, 5.0)
    assert called == ["added"]


def test_sweep_while_timers_are_called_loses_none() -> None:
    heap = TimerHeap()
    called: list[int] = []
    deadlines = [heap.add(100.0, int) for _ in range(300)]

    def cancel_all() -> None:
        for deadline in deadlines:
            deadline.cancel()

    heap.add(0.0, cancel_all)
    for number in range(5):
        heap.add(1.0, lambda number=number: called.append(number))  # type: ignore[misc]
    run(heap, 2.0)
    assert called == [0, 1, 2, 3, 4]
    assert len(heap) == 0
