"""The benchmark suite works. Nothing here looks at a time."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.suite import workloads
from benchmarks.suite.harness.plan import Contestant, Workload
from benchmarks.suite.harness.results import Results, load, save
from benchmarks.suite.harness.run import Options, run
from benchmarks.suite.harness.stage import SideFailed, Stage
from benchmarks.suite.peers import PEERS
from benchmarks.suite.report.tables import page, terminal

OURS = {"snakemq2": PEERS["snakemq2"], "floor": PEERS["floor"]}
PATIENCE = 60.0
"""Seconds for a measurement. It gets a second chance, and both end before pytest loses patience."""
TINY: dict[str, Any] = {
    "size": 20,
    "count": 200,
    "connections": 4,
    "callers": 2,
    "in_flight": 4,
    "batch": 2,
    "backlog": 10,
    "settle": 0.01,
    "seconds": 0.01,
    "times": 1,
}
"""Instead of the settings of the workload, where it has them."""


def tiny(workload: Workload) -> Workload:
    """One case of it that needs nothing else, with hardly anything to do."""
    case = [case for case in workload.cases if not case.needs][-1]

    def shrunk(settings: Any) -> Any:
        return {name: TINY.get(name, value) for name, value in settings.items()}

    return dataclasses.replace(
        workload,
        cases=(dataclasses.replace(case, settings=shrunk(case.settings), short=True),),
        contestants=tuple(
            dataclasses.replace(c, settings=shrunk(c.settings), share=1)
            for c in workload.contestants
        ),
    )


def run_tiny(*chosen: Workload) -> Results:
    options = Options(rounds=1, peers=OURS, patience=PATIENCE)
    return run([tiny(w) for w in chosen], options, say=lambda text: None)


@pytest.mark.parametrize("name", [n for n, w in workloads.WORKLOADS.items() if not w.axis])
def test_a_workload_measures_us_and_the_floor(name: str) -> None:
    workload = workloads.WORKLOADS[name]
    results = run_tiny(workload)
    assert not results.failed, terminal(results)
    assert {row.contestant.key for row in results.rows} == {
        contestant.key for contestant in workload.contestants if contestant.peer in OURS
    }
    for row in results.rows:
        assert set(row.rounds[0]) & {column.name for column in workload.columns}


@pytest.mark.parametrize("name", [n for n, w in workloads.WORKLOADS.items() if w.axis])
def test_a_workload_that_shows_growth_measures_us(name: str) -> None:
    workload = workloads.WORKLOADS[name]
    only_us = next(c for c in workload.contestants if c.peer == "snakemq2")
    results = run_tiny(dataclasses.replace(workload, contestants=(only_us,)))
    assert not results.failed, terminal(results)
    assert all(case.x is not None for case in workload.cases)


def test_every_contestant_is_a_peer_and_every_goal_has_its_rows() -> None:
    for workload in workloads.WORKLOADS.values():
        keys = {contestant.key for contestant in workload.contestants}
        assert len(keys) == len(workload.contestants), workload.name
        assert {contestant.peer for contestant in workload.contestants} <= set(PEERS)
        for goal in workload.goals:
            assert goal.case in {case.name for case in workload.cases}, goal
            assert f"snakemq2 {goal.way}".strip() in keys, goal
            assert not goal.against or goal.against in keys, goal
            assert not goal.column or goal.column in {c.name for c in workload.columns}, goal
            assert (goal.at_least is None) != (goal.at_most is None), goal


def test_a_peer_that_is_not_installed_is_named() -> None:
    missing = dataclasses.replace(PEERS["pyzmq"], needs="no_such_module")
    w1 = tiny(workloads.WORKLOADS["W1"])
    results = run([w1], Options(rounds=1, peers={"pyzmq": missing}), say=lambda text: None)
    assert not results.rows
    assert "no_such_module" in results.left_out["pyzmq"]
    assert "left out: pyzmq" in terminal(results)


def test_a_case_whose_module_is_missing_is_left_out() -> None:
    w9 = workloads.WORKLOADS["W9"]
    case = dataclasses.replace(w9.cases[0], needs="no_such_module")
    only = dataclasses.replace(w9, cases=(case,))
    results = run([only], Options(rounds=1, peers=OURS), say=lambda text: None)
    assert not results.rows
    assert "no_such_module" in results.left_out["W9 100 B"]


def test_every_contestant_has_a_module_for_its_workload() -> None:
    for workload in workloads.WORKLOADS.values():
        for contestant in workload.contestants:
            peer = PEERS[contestant.peer].within(workload.modules)
            module = f"benchmarks.suite.peers.{peer.module or peer.name}"
            assert find_spec(module), f"{workload.name} {contestant.key}"


def test_a_peer_that_fails_is_reported_with_what_it_wrote() -> None:
    broken = dataclasses.replace(
        tiny(workloads.WORKLOADS["W1"]), contestants=(Contestant("snakemq2"), Contestant("pyro5"))
    )
    unable = dataclasses.replace(PEERS["pyro5"], needs="", module="imports")
    results = run([broken], Options(rounds=1, peers={**OURS, "pyro5": unable}), lambda text: None)
    assert [row.title for row in results.failed] == ["Pyro5"]
    assert "packets_receiver" in results.failed[0].problem
    assert "AttributeError" in terminal(results)
    ours = next(row for row in results.rows if row.contestant.peer == "snakemq2")
    assert ours.rounds, "the others go on"


def test_a_side_that_says_nothing_does_not_last_forever() -> None:
    with Stage(PEERS["floor"], patience=0.0) as stage:
        side = stage.start("packets_receiver", {"count": 1})
        with pytest.raises(SideFailed, match="no side said 'finished' in time"):
            stage.expect("finished", side)


def test_results_survive_a_file(tmp_path: Path) -> None:
    results = run_tiny(workloads.WORKLOADS["W8a"])
    results.texts["throttle"] = "a table"
    save(results, tmp_path / "results.json")
    again = load(tmp_path / "results.json")
    assert page(again, []) == page(load(tmp_path / "results.json"), [])
    assert [row.title for row in again.rows] == [row.title for row in results.rows]
    assert "a table" in page(again, [])
