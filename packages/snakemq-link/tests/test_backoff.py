"""When a connector dials again, without any clock."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import accumulate, islice, pairwise, repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemq.link._connections._socket import STABLE_AFTER
from snakemq.link._dialling._backoff import FIRST_DELAY, Backoff

CEILINGS = st.floats(0.001, 1000.0)
JITTER = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40)


def backoff(ceiling: float = 3.0, jitter: Iterable[float] = repeat(0.0)) -> Backoff:
    values = iter(jitter)
    return Backoff(ceiling, lambda: next(values))


def delays(backoff: Backoff, count: int) -> list[float]:
    return [backoff.next_delay() for _ in range(count)]


@given(CEILINGS)
def test_delays_grow_up_to_the_ceiling_and_stay_there(ceiling: float) -> None:
    grown = delays(backoff(ceiling), 200)
    assert all(early <= late for early, late in pairwise(grown))
    assert grown[0] == min(FIRST_DELAY, ceiling)
    assert grown[-1] == ceiling


@given(CEILINGS, JITTER)
def test_jitter_takes_off_a_quarter_at_most(ceiling: float, jitter: list[float]) -> None:
    exact = delays(backoff(ceiling), len(jitter))
    for delay, longest in zip(delays(backoff(ceiling, jitter), len(jitter)), exact, strict=True):
        assert 0.75 * longest <= delay * (1 + 1e-9)
        assert 0 < delay <= longest <= ceiling


def test_jitter_is_drawn_anew_for_each_delay() -> None:
    flat = backoff(0.001, [0.0, 0.5, 1.0])
    assert delays(flat, 3) == pytest.approx([0.001, 0.000875, 0.00075])


def test_attempts_begin_quickly_again_when_something_has_changed() -> None:
    waits = backoff()
    for _ in range(5):
        waits.connection_lasted(0.0)
        waits.refused()
    assert delays(waits, 20)[-1] == 3.0
    waits.begin_again()
    assert delays(waits, 1) == [FIRST_DELAY]


def wait_after(
    outage: float, jitter: list[float], brief_connections: int = 0, closed_at_once: int = 0
) -> float:
    """Seconds from the return of a listener that was away for ``outage`` to the next attempt."""
    delays_of = backoff(3.0, [*jitter, *repeat(jitter[-1], 200)])
    for _ in range(brief_connections):
        delays_of.next_delay()
        delays_of.connection_lasted(0.0)
    for _ in range(closed_at_once):
        delays_of.next_delay()
        delays_of.closed_at_once()
    attempts = accumulate(delays(delays_of, 100))
    return next(moment for moment in attempts if moment >= outage) - outage


@given(st.floats(0.0, 1.0), JITTER)
def test_listener_that_was_away_for_a_moment_is_found_within_half_a_second(
    outage: float, jitter: list[float]
) -> None:
    assert wait_after(outage, jitter) <= 0.5


@given(st.floats(0.0, 1.0), JITTER, st.integers(0, 5))
def test_a_listener_is_found_as_soon_after_brief_connections(
    outage: float, jitter: list[float], brief_connections: int
) -> None:
    """A server may restart several times in a row, each time before it has settled."""
    assert wait_after(outage, jitter, brief_connections) <= 0.5


@given(st.floats(0.0, 1.0), JITTER, st.integers(0, 3))
def test_a_listener_is_found_as_soon_after_it_closed_connections_at_once(
    outage: float, jitter: list[float], closed_at_once: int
) -> None:
    assert wait_after(outage, jitter, closed_at_once=closed_at_once) <= 0.5


@given(st.floats(1.0, 3600.0), JITTER)
def test_any_listener_is_found_within_the_ceiling(outage: float, jitter: list[float]) -> None:
    delays_of = backoff(3.0, [*jitter, *repeat(0.0, 5000)])
    moment = 0.0
    while moment < outage:
        delay = delays_of.next_delay()
        assert delay <= 3.0
        moment += delay


@given(st.integers(0, 50))
def test_connection_that_lasted_makes_attempts_quick_again(failures: int) -> None:
    grown = backoff()
    delays(grown, failures)
    grown.connection_lasted(STABLE_AFTER)
    assert delays(grown, 30) == delays(backoff(), 30)


def test_a_peer_that_accepts_and_closes_at_once_is_not_hammered() -> None:
    delays_of = backoff()
    waits = []
    for _ in range(40):
        waits.append(delays_of.next_delay())
        delays_of.connection_lasted(0.001)
    assert waits == sorted(waits)
    assert waits[-1] == 3.0
    assert sum(islice(waits, 20)) > 5


def test_brief_connection_makes_attempts_quicker_than_failures_had_made_them() -> None:
    delays_of = backoff()
    delays(delays_of, 50)
    delays_of.connection_lasted(0.5)
    assert delays_of.next_delay() < 0.1


def test_refusals_make_the_delays_twice_as_long_each_time() -> None:
    delays_of = backoff()
    waits = []
    for _ in range(9):
        waits.append(delays_of.next_delay())
        delays_of.refused()
    assert waits[:6] == pytest.approx([FIRST_DELAY * 2**number for number in range(6)])
    assert waits[-1] == 3.0


@given(CEILINGS)
def test_refused_connector_dials_at_least_once_in_its_interval(ceiling: float) -> None:
    delays_of = backoff(ceiling)
    for _ in range(100):
        assert delays_of.next_delay() <= ceiling
        delays_of.refused()


def test_each_connection_that_is_closed_at_once_makes_the_delay_longer() -> None:
    delays_of = backoff()
    waits = []
    for _ in range(12):
        waits.append(delays_of.next_delay())
        delays_of.closed_at_once()
    assert waits[:4] == pytest.approx([FIRST_DELAY * 1.6**number for number in range(4)])
    assert sum(waits) > 7
    assert waits[-1] == 3.0
