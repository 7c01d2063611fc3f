"""Many runs, on several cores."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from .run import Outcome, run

SHARD = 25
"""Runs that a worker process does before it reports."""

MAX_FAILURES = 5
"""Failed runs after which the others are not begun."""


@dataclass
class Tally:
    """What many runs came to."""

    runs: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    figures: Counter[str] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.runs += 1
        self.faults += outcome.faults
        self.figures += outcome.figures
        if outcome.problem:
            self.failures.append(outcome)

    def __str__(self) -> str:
        lines = [f"{self.runs} runs in {self.seconds:.0f} s, {len(self.failures)} failed"]
        for title, counts in (("what there was", self.figures), ("what went wrong", self.faults)):
            lines.append(f"{title}:")
            lines += [f"{count:10,}  {name}" for name, count in sorted(counts.items())]
        return "\n".join([*lines, *map(str, self.failures)])


@contextmanager
def workers() -> Iterator[Executor]:
    """A process for each core."""
    # Not forked: the parent may have threads.
    executor = ProcessPoolExecutor(_cores(), multiprocessing.get_context("spawn"))
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def run_many(seeds: range, executor: Executor, tally: Tally) -> None:
    """Do the runs of all these seeds, but no more after some failures."""
    begin = time.monotonic()
    shards = [seeds[i : i + SHARD] for i in range(0, len(seeds), SHARD)]
    for outcomes in executor.map(_shard, shards):
        for outcome in outcomes:
            tally.add(outcome)
        if len(tally.failures) >= MAX_FAILURES:
            break
    tally.seconds += time.monotonic() - begin


def _shard(seeds: range) -> list[Outcome]:
    return [run(seed) for seed in seeds]


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
