"""For fixtures of pytest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ._server import Server, ServerNotFound


@contextmanager
def started(kind: Callable[[], Server]) -> Iterator[Server]:
    """A running server. If there is none: in CI the test fails, elsewhere it is skipped."""
    try:
        server = kind()
    except ServerNotFound as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with server:
        yield server
