"""Accounts for the cost of making, hashing, comparing and destroying unpickled objects."""

from __future__ import annotations

import enum
import pickle
import sys
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Any

from ._limits import (
    ENTRY,
    FREE_STEPS,
    MAX_DEPTH,
    OBJECT,
    SLOT,
    STEPS_PER_BYTE,
    TABLE,
    too_large,
)
from ._probing import Probing

_BY_IDENTITY = (object.__hash__, None)
HASHING = (set, frozenset, dict)

FROZEN: frozenset[object] = frozenset()
"""Stands for a container that is filled once, when it is made."""

_IMMUTABLE_TYPE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE: set in classes written in C
_FEW = 8  # keys, each of which may be compared with all others
# Steps to look at a slot: our own table is much slower than the one in C, least for a set, which we
# look at in rows. So a set of 400,000 numbers k / 1000 takes 46 of the 72 steps for each of them.
_SLOT = 2
_SLOT_OF_A_SET = 1
_COMPARISON = 8  # steps of each comparison besides the leaves
_CALL = 8  # steps for each argument of a call; we look at it several times
_KEYED = frozenset((str, bytes))  # only this process knows the key of their hashes


class _Nested:
    """A value that is hashed, compared or destroyed recursively."""

    __slots__ = ("depth", "is_held", "leaves", "value")

    def __init__(self, value: object) -> None:
        self.value = value  # held so that no other object gets its id
        self.depth = 1
        self.leaves = 1  # that have to be hashed for it
        self.is_held = False  # by another measured value


class Costs:
    """Keeps the account of one pickle: steps of time, and bytes of memory.

    A pickle can name one object many times, so keys of a few hundred bytes can have 2**40 leaves,
    and every five bytes can copy a megabyte. Numbers can be chosen to collide in a table. C code
    that hashes or destroys nested values recurses without a guard. A pickle pays for all of it
    *before* it happens, and one that cannot pay ends in ``UnpicklingError``: so time and memory
    follow its length.
    """

    def __init__(self, length: int, max_memory: int) -> None:
        self.steps = 0
        self.memory = 0
        self._max_steps = FREE_STEPS + STEPS_PER_BYTE * length
        self._max_memory = max_memory
        self._nested: dict[int, _Nested] = {}
        self._probings: dict[int, tuple[object, Probing]] = {}
        # Measures taken before an object in the value grew may be wrong by this much.
        self._late_leaves = 0
        self._late_depth = 0

    def pay(self, steps: int) -> None:
        self.steps += steps
        if self.steps > self._max_steps:
            raise pickle.UnpicklingError(
                f"hashing, comparing or copying takes more than {self._max_steps} steps: keys "
                "whose hashes are equal, or one object that is used again and again"
            )

    def take(self, memory: int) -> None:
        self.memory += memory
        if self.memory > self._max_memory:
            raise too_large(self._max_memory)

    # Depth and leaves.

    def _measure(self, value: object) -> tuple[int, int]:
        nested = self._nested.get(id(value))
        if nested is not None:
            return nested.depth, nested.leaves
        cls = type(value)
        if cls is int:
            return 0, 1 + (value.bit_length() >> 9)  # type: ignore[attr-defined]
        if cls is str or cls is bytes:
            return 0, 1 + (len(value) >> 8)  # type: ignore[arg-type]
        if cls is tuple or cls is frozenset:
            return 1, 1 + len(value)  # type: ignore[arg-type]  # of simple values, see hold()
        return 0, 1

    def hold(self, value: Any, children: Iterable[object]) -> None:
        """Measure a tuple or frozenset that is made of ``children``."""
        depth, leaves = 0, 1
        nested = self._nested
        for child in children:
            child_depth, child_leaves = self._measure(child)
            depth = max(depth, child_depth)
            leaves += child_leaves
            if child_depth and id(child) in nested:
                nested[id(child)].is_held = True
        if depth == 0 and leaves == 1 + len(value):
            return
        entry = _Nested(value)
        nested[id(value)] = entry
        self._set(entry, depth + 1, leaves)

    def _set(self, entry: _Nested, depth: int, leaves: int) -> None:
        entry.depth = depth
        entry.leaves = leaves
        if depth + self._late_depth > MAX_DEPTH:
            raise pickle.UnpicklingError(
                f"tuples, frozensets and objects are nested deeper than {MAX_DEPTH}; lists may be"
            )

    def made(self, value: object, children: Iterable[object]) -> None:
        """Measure and pay for an object that is made of ``children``."""
        if id(value) in self._nested:
            return  # a member of an enumeration, or the like
        self.take(OBJECT + sys.getsizeof(value, OBJECT))
        self._nested[id(value)] = _Nested(value)
        self.grown(value, children)

    def grown(self, value: object, children: Iterable[object]) -> None:
        """Measure a value again that :meth:`made` knows, because it gets ``children``."""
        entry = self._nested.get(id(value))
        if entry is None:
            return
        cls = type(value)
        by_value = cls.__hash__ not in _BY_IDENTITY and not isinstance(value, enum.Enum)
        depth, leaves = entry.depth, entry.leaves
        for child in children:
            child_depth, child_leaves = self._measure(child)
            depth = max(depth, child_depth + 1)
            leaves += child_leaves if by_value else 0
            if child_depth and id(child) in self._nested:
                self._nested[id(child)].is_held = True
        # Objects of Python classes are destroyed with a guard, and hashed by identity unless they
        # say otherwise, so how deep they grow after they were named elsewhere does not matter.
        is_c = bool(cls.__flags__ & _IMMUTABLE_TYPE) and not isinstance(value, BaseException)
        if entry.is_held and (by_value or is_c):
            self._late_depth += depth - entry.depth
            self._late_leaves += leaves - entry.leaves
        self._set(entry, depth, leaves)

    # Time.

    def hashes(self, keys: Iterable[object]) -> None:
        """Pay for hashing ``keys`` and comparing each once."""
        self.pay(sum(self._weight(key) for key in keys))

    def _weight(self, key: object) -> int:
        leaves = self._measure(key)[1]
        if leaves > 1 and self._late_leaves:
            return leaves * (1 + self._late_leaves)
        return leaves

    def fill(self, container: Any, keys: Sequence[object]) -> None:
        """Pay for putting ``keys`` into a dict, a set or the like."""
        self.take(TABLE + ENTRY * len(keys))
        self.hashes(keys)
        known = self._probings.get(id(container))
        if known is None:
            if _KEYED.issuperset(map(type, keys)):
                return
            if type(container) in HASHING and len(container) + len(keys) <= _FEW:
                self.pay(_FEW * sum(self._weight(key) for key in keys))
                return
            probing = Probing(is_set=isinstance(container, (set, frozenset)))
            if type(container) in HASHING:
                for key in container:
                    probing.insert(hash(key))
            if type(container) is not frozenset:
                self._probings[id(container)] = (container, probing)
        else:
            probing = known[1]
        slot = _SLOT_OF_A_SET if probing.is_set else _SLOT
        for key in keys:
            extra, equal = probing.insert(hash(key))
            if extra:
                self.pay(slot * extra)
            if equal:
                self.pay(equal * (_COMPARISON + self._weight(key)))

    def filled_by_call(self, cls: type, args: Iterable[object]) -> None:
        """Pay for a set or dict of a user's class, which hashes what is in its ``args``."""
        for value in args:
            if not isinstance(value, (list, tuple)):
                continue
            if issubclass(cls, dict) and not issubclass(cls, Counter):
                value = [pair[0] for pair in value if isinstance(pair, (list, tuple)) and pair]
            self.fill(FROZEN, value)

    def calls(self, count: int) -> None:
        """Pay for a call with this many arguments, or a state of this many parts."""
        self.pay(_CALL * count)

    def copies(self, values: Iterable[object], *, content: bool) -> None:
        """Pay for a call that may copy what is directly in these arguments.

        ``content``: it copies text, too. The size of the result covers the memory of that.
        """
        for value in values:
            if isinstance(value, (list, tuple)):
                self.take(SLOT * len(value))
                self.pay(len(value) >> 3)
            elif isinstance(value, (dict, set, frozenset)):
                self.take(ENTRY * len(value))
                self.pay(len(value))
            elif isinstance(value, bytearray):
                self.take(len(value))
            elif isinstance(value, (str, bytes)):
                if content:
                    self.pay(len(value) >> 8)
            elif isinstance(value, range):
                # Not len(), which overflows. A call that reads it takes a step for each item.
                self.pay(max(0, (value.stop - value.start) // value.step))
            elif isinstance(value, deque):
                self.pay(len(value))
