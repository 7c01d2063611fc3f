"""For fixtures of pytest."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ._server import Server, ServerNotFound

MEMORY_NEEDED = 2 << 30
"""Bytes, for several servers at once."""


@contextmanager
def started(kind: Callable[[], Server]) -> Iterator[Server]:
    """A running server. If there is none: in CI the test fails, elsewhere it is skipped."""
    # These servers are killed, but no test cuts the power: memory is as good as a disk.
    if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > MEMORY_NEEDED:
        Server.place = "/dev/shm"
    try:
        server = kind()
    except ServerNotFound as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with server:
        yield server
