"""How far a ping has come, where the system of the other side says nothing of it but acks."""

from __future__ import annotations

from typing import Any, cast

import pytest

from snakemq.messaging._peers._probe import Prober
from snakemq.packeter import Packeter

PING_SIZE = 5
WAIT, LONGEST = 0.5, 5.0


class World:
    """Link and packeter in one: a connection of which everything is made up."""

    def __init__(self) -> None:
        self.link = self
        self.now = 0.0
        self.sent = 0
        self.waiting = 0
        self.unsent: int | None = 0
        self.late: float | None = 0.0

    def time(self) -> float:
        return self.now

    def is_reading(self, conn_id: str) -> bool:
        return True

    def unsent_bytes(self, conn_id: str) -> int | None:
        return self.unsent

    def unanswered_for(self, conn_id: str) -> float | None:
        return self.late

    def send_packet(self, conn_id: str, packet: bytes) -> int:
        self.waiting += PING_SIZE
        return 1

    def get_progress(self, conn_id: str) -> tuple[int, int]:
        return self.sent, self.waiting

    def flush(self) -> None:
        self.sent, self.waiting = self.sent + self.waiting, 0
        if self.unsent is not None:
            self.unsent += PING_SIZE


@pytest.fixture
def world() -> World:
    """100 bytes are under way."""
    world = World()
    world.sent = world.unsent = 100
    return world


@pytest.fixture
def prober(world: World) -> Prober:
    return Prober(cast(Packeter, cast(Any, world)))


def is_under_way(prober: Prober, probe: Any) -> bool:
    return prober.is_under_way("1", probe, WAIT, LONGEST)


def test_each_byte_before_the_ping_counts(world: World, prober: Prober) -> None:
    probe = prober.ping("1")
    world.flush()
    world.late = 10.0
    for unsent in (104, 50, 6):
        world.unsent = unsent
        assert is_under_way(prober, probe)
        assert not is_under_way(prober, probe)


def test_what_comes_behind_it_does_not(world: World, prober: Prober) -> None:
    probe = prober.ping("1")
    world.flush()
    world.unsent = 0
    assert is_under_way(prober, probe)  # it was taken since the last look, so it has a wait now
    world.sent += 1000
    world.unsent = 500
    assert not is_under_way(prober, probe)


def test_more_that_is_sent_does_not_hide_that_it_moves(world: World, prober: Prober) -> None:
    probe = prober.ping("1")
    world.flush()
    world.late = 10.0
    world.sent += 10
    assert world.unsent is not None
    world.unsent += 10 - 7
    assert is_under_way(prober, probe)


def test_a_path_so_slow_that_nothing_is_taken_in_a_wait(world: World, prober: Prober) -> None:
    probe = prober.ping("1")
    world.flush()
    world.now = LONGEST - 0.1
    assert is_under_way(prober, probe)
    world.now = LONGEST
    assert not is_under_way(prober, probe)
    world.unsent = 90
    assert is_under_way(prober, probe)
    world.now = 2 * LONGEST - 0.1
    assert is_under_way(prober, probe)


@pytest.mark.parametrize("late", [None, WAIT])
def test_nor_if_its_system_owes_an_acknowledgement(
    world: World, prober: Prober, late: float | None
) -> None:
    probe = prober.ping("1")
    world.flush()
    world.late = late
    assert not is_under_way(prober, probe)


def test_where_nothing_can_be_told_nothing_is_under_way(world: World, prober: Prober) -> None:
    world.unsent = None
    probe = prober.ping("1")
    world.flush()
    assert not is_under_way(prober, probe)
