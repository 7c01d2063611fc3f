"""What decoding may cost: every number of it."""

from __future__ import annotations

import pickle

MAX_DEPTH = 500
"""Tuples, frozensets and objects in each other. CPython hashes tuples, and destroys some objects,
recursively and without a guard for its C stack."""

MAX_MARKS = 100_000
"""Open MARKs, all of which an unpickler remembers. The standard pickler nests less than 1,000."""

FREE_MEMORY = 64 << 20
"""Bytes that every pickle may take, in addition to the share of its length."""

MEMORY_FACTOR = 16
"""Bytes that a pickle may take for each byte of its length. Rows of a table take about ten; a
million of empty sets would take 200."""

FREE_STEPS = 1_000_000
STEPS_PER_BYTE = 8
"""A step is the hash or a comparison of a simple value, a look at a slot of a set or half a look at
one of a dict, or the copy of 256 bytes or of 8 references: mostly less than 40 ns."""

# Bytes of what is made, in CPython 3.11. Numbers and text need no entry: they take less than
# MEMORY_FACTOR times their length.
LIST = 56
DICT = 64
SET = 216
TUPLE = 40
SLOT = 8
OBJECT = 200

TABLE = 120
ENTRY = 40
"""Bytes by which a dict or set grows when it gets its first item, and with each item."""


def max_memory(length: int, factor: int = MEMORY_FACTOR) -> int:
    """Return how many bytes a pickle of this length may take."""
    return FREE_MEMORY + factor * length


def too_large(max_memory: int) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(
        f"the pickle would take more than {max_memory} bytes of memory: send it in parts, or "
        "give SafePickler a larger memory_factor on both sides"
    )
