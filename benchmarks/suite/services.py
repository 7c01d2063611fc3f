"""Brokers, which are started when the first peer needs them and run to the end."""

from __future__ import annotations

from contextlib import ExitStack


class Services:
    """``with Services() as services``: whatever was started is stopped in the end."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def obstacle(self, name: str) -> str:
        """Why it cannot run; empty if it can."""
        return "not yet"

    def address(self, name: str) -> str:
        raise NotImplementedError

    def __enter__(self) -> Services:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
