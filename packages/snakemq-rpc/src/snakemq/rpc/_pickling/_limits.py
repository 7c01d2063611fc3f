"""Holds every limit on what decoding may cost."""

from __future__ import annotations

import pickle

MAX_DEPTH = 500
"""How deep tuples, frozensets and objects may be nested. CPython hashes tuples, and destroys some
objects, recursively and without a guard for its C stack."""

MAX_MARKS = 100_000
"""How many MARKs may be open: an unpickler keeps all of them. ``pickle`` opens fewer than 1,000."""

FREE_MEMORY = 64 << 20
"""Bytes that every pickle may take in addition to what its length grants."""

MEMORY_FACTOR = 16
"""Bytes that a pickle may take for each byte of its length. Rows of a table take about ten; a
million empty sets would take 200."""

FREE_STEPS = 1_000_000
STEPS_PER_BYTE = 8
"""A step is the hash or a comparison of a simple value, a look at a slot of a set or half a look at
one of a dict, or the copy of 256 bytes or of 8 references: mostly less than 40 ns."""

# Sizes in bytes in CPython 3.11. Numbers and text need no entry: they take less than
# MEMORY_FACTOR times their length.
LIST = 56
DICT = 64
SET = 216
TUPLE = 40
SLOT = 8
OBJECT = 200

TABLE = 120
ENTRY = 40
"""TABLE: bytes that a dict or set grows by with its first item. ENTRY: with each item."""


def max_memory(length: int, factor: int = MEMORY_FACTOR) -> int:
    """Return how many bytes a pickle of this length may take."""
    return FREE_MEMORY + factor * length


def too_large(max_memory: int) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(
        f"the pickle would take more than {max_memory} bytes of memory: send it in parts, or "
        "give SafePickler a larger memory_factor on both sides"
    )
