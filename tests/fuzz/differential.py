"""What must hold for every pickle: the fast way, the careful machine and ``pickle`` agree on plain
data, nothing but ``UnpicklingError`` is raised, and no more is paid than the length grants."""

from __future__ import annotations

import pickle
import random
from typing import Any

from snakemq.rpc import SafePickler
from snakemq.rpc._pickling._builder import InertBuilder, RegisteredBuilder
from snakemq.rpc._pickling._limits import FREE_MEMORY, FREE_STEPS, MEMORY_FACTOR, STEPS_PER_BYTE
from snakemq.rpc._pickling._machine import Machine
from snakemq.rpc._pickling._plain import is_plain

from .registered import CLASSES

_NAMES: dict[str, Any] = {f"{cls.__module__}.{cls.__qualname__}": cls for cls in CLASSES}
PICKLER = SafePickler()
for _cls in CLASSES:
    PICKLER.register(_cls)


def shape(value: object) -> bytes | None:
    """Bytes to compare a value by; ``None`` if it holds itself or is too deep to be written."""
    try:
        return pickle.dumps(value, 4)
    except (RecursionError, pickle.PicklingError, TypeError, AttributeError):
        return None


def run(data: bytes, builder: Any) -> tuple[bool, Any]:
    """Run a pickle: was it taken, and what came out? Checks that no cost was above its limit."""
    max_memory = FREE_MEMORY + MEMORY_FACTOR * len(data)
    machine = Machine(data, builder, max_memory)
    try:
        result = True, machine.run()
    except pickle.UnpicklingError:
        result = False, None
    # A single payment may go beyond the limit, before which nothing is done.
    limit = FREE_STEPS + STEPS_PER_BYTE * len(data)
    assert machine.costs.steps <= limit or not result[0], "more steps than granted"
    assert machine.costs.memory <= max_memory or not result[0], "more memory than granted"
    return result


def check(data: bytes) -> bool:
    """Raises ``AssertionError`` if anything is wrong. Returns whether the pickle was taken."""
    careful, value = run(data, RegisteredBuilder(_NAMES, {}))
    run(data, InertBuilder())
    try:
        PICKLER.loads(data)
        taken = True
    except pickle.UnpicklingError:
        taken = False
    if is_plain(data, FREE_MEMORY + MEMORY_FACTOR * len(data)):
        try:
            expected = pickle.loads(data)
        except Exception:
            assert not taken, "the fast way takes what pickle refuses"
            return taken
        if careful:
            assert shape(value) == shape(expected), "the machine makes something else"
    else:
        assert taken == careful, "loads does not follow the machine"
    return taken


def check_honest(rng: random.Random) -> None:
    """Check that a value that can be sent arrives."""
    value = honest(rng, 0)
    data = PICKLER.dumps(value)
    loaded = PICKLER.loads(data)
    assert loaded == value
    assert pickle.loads(data) == value


def honest(rng: random.Random, depth: int) -> Any:
    kinds = 8 if depth < 4 else 4
    match rng.randrange(kinds):
        case 0:
            return rng.choice((None, True, "", "text", b"bytes", 1.5, bytearray(b"x")))
        case 1:
            return rng.getrandbits(rng.choice((3, 31, 70))) * rng.choice((1, -1))
        case 2:
            return "x" * rng.randrange(300)
        case 3:
            return {rng.randrange(1000) for _ in range(rng.randrange(20))}
        case 4:
            return [honest(rng, depth + 1) for _ in range(rng.randrange(6))]
        case 5:
            return tuple(honest(rng, depth + 1) for _ in range(rng.randrange(5)))
        case 6:
            return {rng.randrange(99): honest(rng, depth + 1) for _ in range(rng.randrange(5))}
        case _:
            return {(k, str(k)): honest(rng, depth + 1) for k in range(rng.randrange(4))}
