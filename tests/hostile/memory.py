"""How much memory something takes at its peak."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

MB = 1000 * 1000


class Peak:
    """``size``: the most that was allocated at any one time, in bytes."""

    size = 0


@contextmanager
def measured() -> Iterator[Peak]:
    peak = Peak()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield peak
        peak.size = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
