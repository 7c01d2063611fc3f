"""A check that cannot fail proves nothing: the simulation has to notice a broken protocol."""

from __future__ import annotations

from unittest import mock

import pytest

from snakemq.messaging._outgoing._sender import Sender
from tests.simulation.ledger import Crash
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.run import run

MOST = 300
"""Seeds in which a mutant must be noticed."""


def noticed(mutant: Mutant) -> str:
    """Return the broken promise that gives a mutant away, or nothing.

    Raises ``Crash`` for a mutant that fails by an error like ``AttributeError``: that proves only
    that the mutant no longer fits the code.
    """
    for seed in range(MOST):
        with mutant():
            outcome = run(seed)
        if outcome.crashed:
            raise Crash(str(outcome))
        if outcome.problem:
            return f"seed {seed}: {outcome.problem}"
    return ""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_breaks_a_promise(name: str) -> None:
    broken = noticed(MUTANTS[name])
    print(f"{name}: {broken[:100]}")
    assert broken, f"{MOST} runs did not notice that the code {name.replace('_', ' ')}"


def test_a_mutant_that_crashes_does_not_count_as_noticed() -> None:
    with pytest.raises(Crash, match="AttributeError"):
        noticed(lambda: mock.patch.object(Sender, "pump", lambda self, queue: self.missing))
