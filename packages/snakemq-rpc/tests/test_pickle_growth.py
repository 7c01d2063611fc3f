"""What decoding costs grows with the length of honest data, and not faster."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from fractions import Fraction

import pytest

from snakemq.rpc import SafePickler
from snakemq.rpc._pickling._builder import RegisteredBuilder
from snakemq.rpc._pickling._costs import Costs
from snakemq.rpc._pickling._limits import max_memory
from snakemq.rpc._pickling._machine import Machine

CLASSES = {
    "fractions.Fraction": Fraction,
    "collections.deque": deque,
    "collections.Counter": Counter,
}

GROWING: dict[str, Callable[[int], object]] = {
    "list of numbers": lambda n: list(range(n)),
    "list of rows": lambda n: [(k, str(k), k / 7) for k in range(n)],
    "list of dicts": lambda n: [{"id": k, "name": "x" * 20} for k in range(n)],
    "dict of numbers": lambda n: {k: k for k in range(n)},
    "dict of tuples": lambda n: {(k, -k): None for k in range(n)},
    "set of floats": lambda n: {k / 7 for k in range(n)},
    "set of text": lambda n: {str(k) for k in range(n)},
    "frozensets": lambda n: [frozenset((k, k + 1)) for k in range(n)],
    "registered numbers": lambda n: [Fraction(k, 3) for k in range(n)],
    "registered containers": lambda n: [deque([k]) for k in range(n)],
    "registered dict": lambda n: Counter(map(str, range(n))),
}


def costs_of(value: object) -> Costs:
    pickler = SafePickler()
    for cls in CLASSES.values():
        pickler.register(cls)
    data = pickler.dumps(value)
    machine = Machine(data, RegisteredBuilder(CLASSES, {}), max_memory(len(data)))
    assert machine.run() == value
    return machine.costs


@pytest.mark.parametrize("make", GROWING.values(), ids=GROWING)
def test_steps_and_memory_are_linear(make: Callable[[int], object]) -> None:
    first, second, third = (costs_of(make(n)) for n in (1000, 2000, 4000))
    for count in ("steps", "memory"):
        one, two, four = (getattr(costs, count) for costs in (first, second, third))
        # Tables are enlarged in leaps, after which fewer slots are taken.
        assert two <= 2.5 * one + 100
        assert four <= 2.5 * two + 100
