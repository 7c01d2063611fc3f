"""How a stream of bytes is cut into pieces.

A cut is a function ``(random, available) -> size``: how many of the ``available`` bytes (at
least one) go in this piece, from 1 to ``available``.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

Cut: TypeAlias = Callable[[Random, int], int]


def whole(_random: Random, available: int) -> int:
    """Take everything at once."""
    return available


def byte_by_byte(_random: Random, _available: int) -> int:
    """Take one byte at a time."""
    return 1


def random_pieces(random: Random, available: int) -> int:
    """Cut half of the pieces whole, a quarter tiny (through headers), a quarter of any size.

    This mixture keeps the number of pieces of a long stream small enough for thousands of runs.
    """
    dice = random.random()
    if dice < 0.5:
        return available
    if dice < 0.75:
        return min(available, 1 + int(random.random() * 16))
    return 1 + int(random.random() * available)


def pieces_of(size: int) -> Cut:
    """Make a cut into pieces of ``size`` bytes, of which the last one may be smaller."""
    if size < 1:
        raise ValueError(f"a piece has at least one byte, not {size!r}")
    return lambda _random, available: min(size, available)
