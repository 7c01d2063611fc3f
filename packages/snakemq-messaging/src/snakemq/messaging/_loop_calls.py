"""Calls that other threads have made in the loop, and wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from snakemq.exceptions import LoopError
from snakemq.link import Abilities, LinkInterface

from ._errands import Errands

Result = TypeVar("Result")

IDLE_LOOK = 1.0
"""Seconds after which a waiting thread looks again whether the loop has ended meanwhile."""


class LoopCalls:
    """Makes calls on the loop's side: by the loop, or in its place while none runs. Thread-safe.

    The calls must be short, and must not call what users have registered: they may run in any
    thread.
    """

    def __init__(self, link: LinkInterface, errands: Errands) -> None:
        self._in_loop = link.in_loop
        self._run_if_idle = Abilities(link).run_if_idle
        self._errands = errands

    def make(self, call: Callable[[], Result], timeout: float) -> Result:
        """Make a call, and return its result. Raises what it raises.

        Raises :exc:`~snakemq.exceptions.LoopError` if the loop does not come to it in ``timeout``
        seconds; then it is never made.
        """
        if self._in_loop():
            return call()
        asked = _Call(call)
        if not self._run_if_idle(asked.run):
            self._errands.give(asked.run)
            left = timeout
            while not asked.done.wait(min(left, IDLE_LOOK)):
                left -= IDLE_LOOK
                if self._run_if_idle(asked.run):  # the loop has ended
                    break
                if left <= 0 and asked.withdraw():
                    raise LoopError(
                        f"the loop has not come to it in {timeout:g} s: a callback blocks it, or"
                        " the link was cleaned up"
                    )
        asked.done.wait()
        if asked.error is not None:
            raise asked.error
        return asked.results[0]


class _Call(Generic[Result]):
    """One call, which is made once at most."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self.done = threading.Event()
        self.results: list[Result] = []
        self.error: BaseException | None = None
        self._call = call
        self._begun = threading.Lock()

    def withdraw(self) -> bool:
        """Have it never made. False if it has begun."""
        return self._begun.acquire(blocking=False)

    def run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        try:
            self.results.append(self._call())
        except BaseException as exc:
            self.error = exc
        finally:
            self.done.set()
