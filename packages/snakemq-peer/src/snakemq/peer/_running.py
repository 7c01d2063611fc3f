"""Running until the system, the user or the program ends it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Any

from snakemq.exceptions import LoopError

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What systemd, Docker and ``kill`` send, and what Ctrl-C does."""

_LONGEST_WAIT = 0.5 if os.name == "nt" else None
"""Seconds. On Windows, no signal interrupts a thread that waits for a lock."""


class News(Enum):
    """What may happen to a peer that runs."""

    SIGNAL = auto()
    STOP = auto()
    """Somebody has called :meth:`Peer.stop`."""
    CLOSED = auto()
    """It is closed, with all that belongs to that."""


class Ending:
    """Brings the news to the thread in :func:`run`.

    A signal handler may interrupt the thread that waits here, in the middle of what it does. With a
    lock or a :class:`threading.Event` it would wait for itself; a SimpleQueue it may use.
    """

    def __init__(self) -> None:
        self._news: SimpleQueue[News] = SimpleQueue()

    def tell(self, news: News) -> None:
        """Say what has happened. Thread-safe, also in signal handlers."""
        self._news.put(news)

    def wait(self) -> News:
        """Wait for the next piece of news."""
        while True:
            try:
                return self._news.get(timeout=_LONGEST_WAIT)
            except Empty:
                pass


def run(ending: Ending, close: Callable[[], object], hurry: Callable[[], object]) -> None:
    """Wait for the end, and then close, which a second signal hurries.

    ``close()``: takes its time, and tells :attr:`News.CLOSED`. ``hurry()``: lets it wait no longer.
    """
    if threading.current_thread() is not threading.main_thread():
        raise LoopError("run() handles signals, which only the main thread can do")
    with _signals(lambda: ending.tell(News.SIGNAL)):
        if ending.wait() is News.CLOSED:
            return
        failures: list[BaseException] = []
        closing = threading.Thread(target=_close, args=(close, failures), name="snakemq-close")
        closing.start()
        while (news := ending.wait()) is not News.CLOSED:
            if news is News.SIGNAL:
                hurry()
                break
    closing.join()
    if failures:
        raise failures[0]


def _close(close: Callable[[], object], failures: list[BaseException]) -> None:
    try:
        close()
    except BaseException as exc:  # it is raised in the thread that waits
        failures.append(exc)


@contextmanager
def _signals(tell: Callable[[], object]) -> Iterator[None]:
    def on_signal(number: int, frame: FrameType | None) -> None:
        tell()

    before: dict[signal.Signals, Any] = {}
    try:
        for number in SIGNALS:
            before[number] = signal.signal(number, on_signal)
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # it was not set by Python, which so cannot set it again
                signal.signal(number, handler)
