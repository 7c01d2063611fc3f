"""The thread that runs the loop of a peer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from snakemq.exceptions import LoopError
from snakemq.link import Link

from ._errors import PeerClosed

T = TypeVar("T")


class LoopThread:
    """Runs the loop of a link until the link is cleaned up. Thread-safe."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._waiting: set[Future[Any]] = set()
        self._is_over = False
        link.on_closed.add_internal(self._on_closed)
        # A daemon, because a forgotten peer must not keep its process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin. Raises ``RuntimeError`` if there can be no more threads."""
        self._thread.start()

    def call(self, func: Callable[[], T]) -> T:
        """Call a function in the loop, and return or raise what it does.

        Raises :exc:`PeerClosed` if the link is cleaned up first.
        """
        if self._link.in_loop():
            return func()
        result: Future[T] = Future()
        with self._lock:
            if self._is_over:
                raise closed()
            self._waiting.add(result)
        self._link.call_from_thread(lambda: self._do(func, result))
        try:
            return result.result()
        finally:
            with self._lock:
                self._waiting.discard(result)

    def check_not_in_loop(self, what: str) -> None:
        """Raise :exc:`~snakemq.exceptions.LoopError` in the loop, which ``what`` would hold up."""
        if self._link.in_loop():
            raise LoopError(
                f"{what} waits for the loop, and this is the thread that runs it: call it in"
                " another thread, such as that of on_message"
            )

    def join(self, timeout: float) -> None:
        """Wait for the end of the thread, at most ``timeout`` seconds."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        try:
            self._link.loop()
        except LoopError:
            if not self._is_over:  # else it was cleaned up before this thread had begun
                raise
        finally:
            self._link.cleanup()  # if the user has called link.stop(), nobody would run it again

    def _do(self, func: Callable[[], T], result: Future[T]) -> None:
        if result.done():  # the link was cleaned up first
            return
        try:
            value = func()
        except BaseException as exc:
            result.set_exception(exc)
        else:
            result.set_result(value)

    def _on_closed(self) -> None:
        with self._lock:
            self._is_over = True
            waiting = [result for result in self._waiting if not result.done()]
        for result in waiting:
            result.set_exception(closed())


def closed() -> PeerClosed:
    """Make the error for what was begun too late."""
    return PeerClosed("this peer is closed; make a new one")
