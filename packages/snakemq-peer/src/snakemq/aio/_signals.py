"""Signals that end a process, for the peers of its event loop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What systemd, Docker and ``kill`` send, and what Ctrl-C does."""

_by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Signals] = WeakKeyDictionary()


class _Signals:
    """Tells each peer of an event loop that the process is to end."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.tells: list[Callable[[], object]] = []
        self._loop = loop
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        for number in SIGNALS:
            before = signal.getsignal(number)
            if getattr(before, "__name__", "") == "_sighandler_noop":
                continue  # of asyncio: the program handles it with this event loop already
            with suppress(NotImplementedError):  # Windows
                self._loop.add_signal_handler(number, self._tell)
                self._before[number] = before

    def remove(self) -> None:
        for number, before in self._before.items():
            if not self._loop.is_closed():
                self._loop.remove_signal_handler(number)
            if before is not None:  # it was set by Python, which so can set it again
                signal.signal(number, before)
        self._before.clear()

    def _tell(self) -> None:
        for tell in self.tells.copy():
            tell()


def listen(loop: asyncio.AbstractEventLoop, tell: Callable[[], object]) -> None:
    """Have ``tell()`` called in the event loop for each signal, until :func:`unlisten`.

    Raises ``RuntimeError`` in another thread than the main one, to which signals go.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("run() handles signals, which only the main thread can do")
    signals = _by_loop.get(loop)
    if signals is None:
        signals = _by_loop[loop] = _Signals(loop)
        signals.install()
    signals.tells.append(tell)


def unlisten(loop: asyncio.AbstractEventLoop, tell: Callable[[], object]) -> None:
    """End what :func:`listen` has begun, if it has. The last one gives the signals back."""
    signals = _by_loop.get(loop)
    if signals is None or tell not in signals.tells:
        return
    signals.tells.remove(tell)
    if not signals.tells:
        del _by_loop[loop]
        signals.remove()
