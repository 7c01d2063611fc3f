"""An asyncio event loop that goes by the clock of a network."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

from ._driver import Driver

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class NetworkEventLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is that of the network.

    While it has nothing to do it is, for the network, a thread that waits: for a call from another
    thread, or for its next timer. So its timers, too, come when nothing else can happen.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        super().__init__(_Selector(driver))

    def time(self) -> float:
        return self._driver.time()

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        self._driver.ring()
        return handle


class _Selector(selectors.DefaultSelector):
    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        self._driver.wait_until(self._has_events, timeout, moves=True)
        return super().select(0)

    def _has_events(self) -> bool:
        return bool(super().select(0))


def run(driver: Driver, main: Coroutine[Any, Any, T], debug: bool | None) -> T:
    """Run a coroutine by the clock of a network, as ``asyncio.run`` does by that of the system."""
    this = threading.current_thread()
    driver.event_loops.add(this)
    try:
        with asyncio.Runner(debug=debug, loop_factory=lambda: NetworkEventLoop(driver)) as runner:
            return runner.run(main)
    finally:
        driver.event_loops.discard(this)
