"""Decodes large requests in the threads that execute them, and bounds what they take together."""

from __future__ import annotations

import threading

from snakemq.exceptions import SnakeMQBrokenMessage

from .._front import is_front_of
from .._pickling._pickler import loads_measured
from .._protocol import Request, check_request
from ._jobs import Job
from ._requests import body_of
from ._settings import Settings

DECODED_AT_ONCE = 64 * 1024
"""Bytes. A request up to this long is decoded when it arrives, in the loop. A longer one could hold
up all other peers for as long as its arguments take, so its thread decodes it."""


class Decoding:
    """Decodes large requests, one at a time, while those that run leave room. Thread-safe.

    ``max_decoded_bytes`` and one more request bound the memory of their arguments: how much a
    request takes is known when it is decoded.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._changed = threading.Condition()
        self._taken = 0
        self._is_busy = False

    def decode(self, job: Job) -> tuple[Request, int]:
        """Wait for room, and decode a request.

        Returns also the bytes for :meth:`leave`, to be called when the request has been executed.
        Raises whatever the pickler and the classes registered with it raise, and
        ``SnakeMQBrokenMessage``.
        """
        with self._changed:
            while self._is_busy or self._taken > self._settings.max_decoded_bytes:
                self._changed.wait()
            self._is_busy = True
        taken = 0
        try:
            data, taken = loads_measured(self._settings.pickler, body_of(job.message))
            request = check_request(data)
            if not _is_announced(job, request):
                raise SnakeMQBrokenMessage("it asks for something else than its front")
        except BaseException:
            taken = 0
            raise
        finally:
            with self._changed:
                self._is_busy = False
                self._taken += taken
                self._changed.notify_all()
        return request, taken

    def leave(self, taken: int) -> None:
        """Give back the room of a request that was executed."""
        with self._changed:
            self._taken -= taken
            self._changed.notify_all()


def _is_announced(job: Job, request: Request) -> bool:
    """Does it ask for what its front and its id said, by which it was decided about?"""
    front, req_id = job.front, job.req_id
    return (front is None or is_front_of(front, request)) and (
        req_id is None or request.get("req_id") == req_id
    )
