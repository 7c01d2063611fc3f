"""Two thousand random lives of a few peers: see ``tests/simulation/ledger.py`` for the promises."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path

import pytest

from tests.simulation.faults import CRASH_POINTS
from tests.simulation.many import Tally, run_many, workers
from tests.simulation.run import run

ROOT = Path(__file__).parents[2]

ENOUGH = 2000
"""Enough for everything to go wrong that can."""

RUNS = int(os.environ.get("SIMULATION_RUNS", ENOUGH))
PART = 200
"""Runs of one test, so that each of them ends soon."""

KINDS = {
    "callback raised",
    "clock jump",
    "close",
    "close in a callback",
    "crash",
    "delay",
    "liar",
    "liar not believed",
    "message cancelled",
    "message dropped",
    "message refused",
    "message rejected",
    "message rejected by the application",
    "message released",
    "message to be retried",
    "nothing left to send",
    "page of a backlog",
    "part of a message",
    "partition",
    "peer refused",
    "queue dropped",
    "reader stalls",
    "receipt delivered",
    "receipt dropped",
    "receipt failed",
    "receipt unconfirmed",
    "requeued message processed",
    "reset",
    "reset at a byte",
    "rest of a message does not come",
    "second connection",
    "shutdown",
    "slow path",
    "storage failure",
    "storage hangs",
    "too much open",
    "vanish",
    "went on from a place",
    "writer stalls",
    *(f"kill {point}" for point in CRASH_POINTS),
}
"""Everything that has to go wrong at least once, or the runs say nothing about it."""


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with workers() as executor:
        yield executor


@pytest.fixture(scope="module")
def tally() -> Tally:
    """What all parts together have done."""
    return Tally()


@pytest.mark.parametrize("begin", range(0, RUNS, PART))
def test_promises_are_kept_whatever_goes_wrong(
    executor: Executor, tally: Tally, begin: int
) -> None:
    before = len(tally.failures)
    run_many(range(begin, begin + PART), executor, tally)
    assert len(tally.failures) == before, "\n\n".join(map(str, tally.failures[before:]))


def test_everything_that_can_go_wrong_went_wrong(tally: Tally) -> None:
    print(tally)
    if tally.runs < ENOUGH:
        pytest.skip("only some of the runs were done")
    assert KINDS - set(tally.faults) == set()
    assert all(tally.figures[figure] > 0 for figure in ("calls", "processed", "1.6 worlds"))


def test_one_seed_is_one_exact_run() -> None:
    """Also in another process, whose sets and dicts of strings have another order."""
    seeds = range(40, 60)
    here = ["\n".join(run(seed, whole_story=True).story) for seed in seeds]
    script = (
        "from tests.simulation.run import run\n"
        f"print('\\n'.join(line for seed in {seeds!r}"
        " for line in run(seed, whole_story=True).story))"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert elsewhere.stdout.splitlines() == "\n".join(here).splitlines()
