"""The scenarios whose instructions are counted run. Valgrind is not needed for that."""

from __future__ import annotations

import pytest

from benchmarks.instructions.scenarios import SCENARIOS, opened


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_can_be_repeated(name: str) -> None:
    with opened:
        run = SCENARIOS[name]()
        for _ in range(2):
            run(5)
