"""Executes requests: finds the method, calls it, and answers with the outcome."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from functools import partial
from typing import NoReturn, Protocol

from snakemq.link import LinkInterface

from .._errors import Error, NoInstanceError, SignalCallWarning
from .._marks import METHOD_RPC_AS_SIGNAL_ATTR
from .._pickling._pickler import Pickler
from .._protocol import Request
from ._delivery import Delivery
from ._exposed import ExposedObject
from ._jobs import Job
from ._requests import read_request


class Settings(Protocol):
    """The settings of an ``RpcServer``."""

    log: logging.Logger
    pickler: Pickler
    threads: int
    max_waiting: int
    max_waiting_bytes: int
    transfer_exceptions: bool


class Execution:
    """Runs methods, in the loop or in a thread of the pool."""

    def __init__(
        self,
        link: LinkInterface,
        objects: Mapping[str, ExposedObject],
        delivery: Delivery,
        settings: Settings,
    ) -> None:
        self._link = link
        self._objects = objects
        self._writer = delivery.writer
        self._replies = delivery.replies
        self._answer = delivery.answer
        self._settings = settings

    def run(self, job: Job) -> None:
        """Execute a request, which may have waited, in a thread."""
        ident, req_id = job.ident, job.req_id
        if req_id is not None and job.is_late(self._link.time()):
            self._replies.abandon(ident, req_id)
            self._settings.log.debug(
                "call of %r of %r not executed: its caller gave up", job.method, ident
            )
            return
        request = job.request
        if request is None:
            try:
                request = read_request(self._settings.pickler, job.message)
            except BaseException as exc:  # it was decoded once before, so the peer is not to blame
                self._failed(ident, job.method, req_id, exc)
                return
            if (request["object"], request["method"]) != (job.object, job.method):
                # It was decided about those. Only a class or function of the user can change them.
                other = Error("the request asks for something else when it is decoded again")
                self._failed(ident, job.method, req_id, other)
                return
        job.request = None
        self.execute(ident, request)

    def execute(self, ident: str, request: Request) -> None:
        """Call the method, and answer. Raises nothing."""
        is_call = request["command"] == "call"
        try:
            exposed = self._objects.get(request["object"])
            if exposed is None:
                raise NoInstanceError(request["object"])
            method = exposed.method(request["method"])
            if hasattr(method, METHOD_RPC_AS_SIGNAL_ATTR) is is_call:
                _warn_of_wrong_command(method)
            value = method(*request["args"], **request["kwargs"])
            reply = self._writer.result(request["req_id"], value) if is_call else b""
        except BaseException as exc:
            req_id = request["req_id"] if is_call else None
            self._failed(ident, request["method"], req_id, exc)
        else:
            if is_call:
                self._answer(ident, request["req_id"], reply)

    def _failed(self, ident: str, method: str, req_id: bytes | None, exc: BaseException) -> None:
        """``req_id``: ``None`` for a signal."""
        transfers = self._settings.transfer_exceptions
        if req_id is None or not transfers:
            command = "signal" if req_id is None else "call"
            self._settings.log.error("%s %r of %r failed", command, method, ident, exc_info=exc)
        if req_id is not None:
            write = self._writer
            reply = write.failure(req_id, exc) if transfers else write.hidden_failure(req_id)
            self._answer(ident, req_id, reply)
        if isinstance(exc, KeyboardInterrupt) and self._link.in_loop():
            # The user pressed Ctrl-C while a method ran in the loop. Raising it here would cost the
            # connection, and the caller its answer.
            self._link.call_later(0.0, partial(_raise, exc))


def _raise(exc: BaseException) -> NoReturn:
    raise exc


def _warn_of_wrong_command(method: object) -> None:
    warnings.warn(f"wrong command match for {method!r}", SignalCallWarning, stacklevel=2)
