"""Counts the slots that CPython looks at when it puts a key into a dict or set."""

from __future__ import annotations

_LINEAR = 9
"""Slots in a row that a set looks at; a dict looks at one."""

_HASH = (1 << 64) - 1

_EMPTY = -1
"""No hash is -1. Integers compare among themselves faster than with ``None``."""


class Probing:
    """Models a table that holds only hashes, by the rules of CPython 3.7 to 3.15.

    Everybody knows the hashes of numbers, and of tuples of numbers. A peer can choose keys with the
    same hash, or with hashes whose paths through the table meet and stay together: each key then
    looks at the slots of all the others.
    """

    def __init__(self, *, is_set: bool) -> None:
        self._linear = _LINEAR if is_set else 0
        self.is_set = is_set
        self._size = 8
        self._slots = [_EMPTY] * 8
        self._fill = 0
        self._order: list[int] = []  # in which a dict moves its keys to a larger table

    def insert(self, hashed: int) -> tuple[int, int]:
        """Insert a hash.

        Returns how many slots it looked at besides the first one, and how many slots held an equal
        hash. Equal keys count repeatedly, which costs only hostile pickles.
        """
        slots = self._slots
        mask = self._size - 1
        index = hashed & mask
        extra = equal = moved = 0
        if slots[index] == _EMPTY:
            slots[index] = hashed
        else:
            extra, equal = self._probe(hashed)
        self._fill += 1
        if not self.is_set:
            self._order.append(hashed)
        if self._is_full():
            moved = self._grow()
        return extra + moved, equal

    def _probe(self, hashed: int) -> tuple[int, int]:
        slots = self._slots
        mask = self._size - 1
        perturb = hashed & _HASH
        index = hashed & mask
        looked = equal = 0
        while True:
            if self._linear and index + self._linear <= mask:
                # A row at once takes two thirds of the time of slot by slot.
                row = slots[index : index + self._linear + 1]
                free = row.index(_EMPTY) if _EMPTY in row else len(row)
                looked += free
                equal += row[:free].count(hashed)
                if free < len(row):
                    slots[index + free] = hashed
                    return looked, equal
            else:
                found = slots[index]
                if found == _EMPTY:
                    slots[index] = hashed
                    return looked, equal
                looked += 1
                equal += found == hashed
            perturb >>= 5
            index = (index * 5 + perturb + 1) & mask

    def _is_full(self) -> bool:
        if self.is_set:
            return self._fill * 5 >= (self._size - 1) * 3
        return self._fill > self._size * 2 // 3

    def _grow(self) -> int:
        """Move to a larger table. Returns how many slots it looked at besides the first ones."""
        hashes = self._order or [hashed for hashed in self._slots if hashed != _EMPTY]
        self._size *= 4 if self.is_set and self._fill <= 50_000 else 2
        slots = [_EMPTY] * self._size
        self._slots = slots
        mask = self._size - 1
        moved = 0
        for hashed in hashes:
            if slots[hashed & mask] == _EMPTY:
                slots[hashed & mask] = hashed
            else:
                moved += self._probe(hashed)[0]
        return moved
