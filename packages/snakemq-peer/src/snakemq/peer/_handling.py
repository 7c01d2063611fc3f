"""Calling the handler of a user."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from snakemq.link import Abilities, LinkInterface
from snakemq.messaging import Reject, Retry

from ._iteration import Row
from ._received import ReceivedMessage

Handler = Callable[[ReceivedMessage], object]

_log = logging.getLogger("snakemq.peer")


class HandlerThread:
    """Calls a handler with one message after another, in a thread of its own.

    It may block, make remote calls, and take as long as it needs: the loop goes on meanwhile.
    """

    def __init__(self, handler: Handler, row: Row, link: LinkInterface, name: str) -> None:
        self._handler = handler
        self._row = row
        self._wait_until = Abilities(link).wait_until
        self._done = threading.Event()
        self._is_hurried = False
        self.thread: threading.Thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    @property
    def is_current(self) -> bool:
        """Is this the thread that calls this?"""
        return self.thread is threading.current_thread()

    def join(self, timeout: float) -> None:
        """Wait until it has finished its last message, unless it is the handler that calls this."""
        if self.is_current:
            return
        if self._wait_until is None:
            self._done.wait(timeout)
        else:
            self._wait_until(self._done.is_set, timeout)
        if self._done.is_set() and not self._is_hurried:
            self.thread.join()

    def hurry(self) -> None:
        """Let nobody wait in :meth:`join` any more."""
        self._is_hurried = True
        self._done.set()

    def _run(self) -> None:
        try:
            while (message := self._row.take()) is not None:
                self._handle(message)
        finally:
            self._done.set()
            self._row.leave()

    def _handle(self, message: ReceivedMessage) -> None:
        try:
            self._handler(message)
        except (Reject, Retry) as verdict:
            message.turn_ends(verdict)
        except Exception as exc:
            _log.exception("the handler has raised, %r is retried", message)
            message.turn_ends(exc)
        except BaseException as exc:
            _log.exception("the handler has ended its thread; no more messages are processed")
            message.turn_ends(exc)
            raise
        else:
            message.turn_ends(None)
