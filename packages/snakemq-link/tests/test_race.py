"""Which address of a name is tried when, without sockets and without a clock."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemq.link._dialling._endpoint import Endpoint
from snakemq.link._dialling._race import ATTEMPT_DELAY, Race, starting_order


def v4(number: int) -> Endpoint:
    return Endpoint(socket.AF_INET, (f"127.0.0.{number}", 4000))


def v6(number: int) -> Endpoint:
    return Endpoint(socket.AF_INET6, (f"::{number}", 4000, 0, 0))


def started(race: Race, now: float) -> list[Endpoint]:
    endpoints = []
    while (endpoint := race.start(now)) is not None:
        endpoints.append(endpoint)
    return endpoints


def test_next_address_follows_after_a_quarter_of_a_second() -> None:
    race = Race([v4(1), v4(2), v4(3)], 10.0)
    assert started(race, 100.0) == [v4(1)]
    assert race.next_at == 100.0 + ATTEMPT_DELAY
    assert started(race, 100.2) == []
    assert started(race, 100.25) == [v4(2)]
    assert started(race, 100.5) == [v4(3)]
    assert race.next_at is None
    assert not race.is_lost


def test_address_that_fails_makes_room_for_the_next_one_at_once() -> None:
    race = Race([v4(1), v4(2), v4(3)], 10.0)
    started(race, 100.0)
    race.fail(100.01)
    assert started(race, 100.01) == [v4(2)]
    assert race.next_at == 100.01 + ATTEMPT_DELAY


def test_race_is_lost_when_the_last_attempt_has_failed() -> None:
    race = Race([v4(1), v4(2)], 10.0)
    started(race, 0.0)
    started(race, 1.0)
    race.fail(2.0)
    assert not race.is_lost
    race.fail(3.0)
    assert race.is_lost


def test_race_without_runners_is_lost() -> None:
    race = Race([], 10.0)
    assert race.start(0.0) is None
    assert race.is_lost


@given(st.integers(1, 200), st.floats(0.01, 100.0))
def test_each_address_has_at_least_half_of_the_time(count: int, time_left: float) -> None:
    race = Race([v4(number) for number in range(count)], time_left)
    now = 0.0
    tried = started(race, now)
    while race.next_at is not None:
        now = race.next_at
        tried += started(race, now)
    assert tried == [v4(number) for number in range(count)]
    assert now <= time_left / 2 * (1 + 1e-9)


@pytest.mark.parametrize(
    ("found", "order"),
    [
        ([v6(1), v6(2), v4(1), v4(2)], [v6(1), v4(1), v6(2), v4(2)]),
        ([v4(1), v4(2), v4(3), v6(1)], [v4(1), v6(1), v4(2), v4(3)]),
        ([v4(1), v4(1), v4(2), v4(1)], [v4(1), v4(2)]),
        ([], []),
    ],
)
def test_families_take_turns_and_each_address_comes_once(
    found: list[Endpoint], order: list[Endpoint]
) -> None:
    assert starting_order(found, None) == order


def test_address_that_worked_last_is_first() -> None:
    found = [v6(1), v6(2), v4(1), v4(2)]
    assert starting_order(found, v4(2)) == [v4(2), v6(1), v4(1), v6(2)]
    assert starting_order(found, v4(3)) == starting_order(found, None)
