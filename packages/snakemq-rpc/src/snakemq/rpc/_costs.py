"""What hashing, comparing and destroying unpickled objects may cost."""

from __future__ import annotations

import pickle
from collections.abc import Iterable

from ._opcodes import MAX_DEPTH

_FREE = 100_000


class Costs:
    """Keeps an account for one pickle of ``length`` bytes.

    One unit is about 50 ns. A pickle can name one object many times, so keys of a few hundred
    bytes can have 2**40 leaves, and a megabyte can be copied with every five bytes; and C code
    that hashes or destroys what is nested recurses without a guard. All of them end in
    ``UnpicklingError`` here, so that time and memory follow the length of the pickle.
    """

    def __init__(self, length: int) -> None:
        self._left = _FREE + 4 * length
        # id: (object, depth, leaves) of what is hashed, compared or destroyed recursively.
        # It holds the object so that its id is not given to another one.
        self._nested: dict[int, tuple[object, int, int]] = {}

    def _measure(self, value: object) -> tuple[int, int]:
        nested = self._nested.get(id(value))
        if nested is not None:
            return nested[1], nested[2]
        if isinstance(value, int):
            return 0, 1 + (value.bit_length() >> 9)
        if isinstance(value, (str, bytes)):
            return 0, 1 + (len(value) >> 12)
        return 0, 1

    def note(self, value: object, children: Iterable[object]) -> None:
        """``value`` is made of ``children`` (too); lists, dicts and sets need no note."""
        depth, leaves = self._measure(value)
        for child in children:
            child_depth, child_leaves = self._measure(child)
            depth = max(depth, child_depth + 1)
            leaves += child_leaves
        if depth > MAX_DEPTH:
            raise pickle.UnpicklingError(f"nested deeper than {MAX_DEPTH}")
        self._nested[id(value)] = (value, depth, leaves)

    def charge(self, keys: Iterable[object]) -> None:
        """``keys`` are about to be hashed and compared."""
        for key in keys:
            self._left -= self._measure(key)[1]
        if self._left < 0:
            raise pickle.UnpicklingError("keys with too many shared parts")

    def charge_copy(self, values: Iterable[object]) -> None:
        """What ``values`` hold is about to be copied."""
        for value in values:
            if isinstance(value, (str, bytes, bytearray)):
                self._left -= len(value) >> 2
            elif isinstance(value, (list, tuple, dict, set, frozenset)):
                self._left -= len(value)
        if self._left < 0:
            raise pickle.UnpicklingError("the pickle copies too much")
