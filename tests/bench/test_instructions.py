"""The scenarios whose instructions are counted run. Valgrind is not needed for that."""

from __future__ import annotations

import pytest

from benchmarks.instructions.scenarios import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
def test_a_scenario_can_be_repeated(name: str) -> None:
    run = SCENARIOS[name]()
    for _ in range(2):
        run(5)
