"""A check that cannot fail proves nothing: the simulation has to notice a broken protocol."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import run

MOST = 300
"""Seeds in which a mutant must be noticed."""


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_noticed(name: str) -> None:
    for seed in range(MOST):
        with MUTANTS[name]():
            outcome = run(seed)
        if outcome.problem:
            print(f"{name}: noticed with seed {seed}: {outcome.problem[:100]}")
            return
    pytest.fail(f"{MOST} runs have not noticed that the code {name.replace('_', ' ')}")
