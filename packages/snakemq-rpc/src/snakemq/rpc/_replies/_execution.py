"""Executes requests: finds the method, calls it, and answers with the outcome."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from types import CoroutineType
from typing import Any, NoReturn

from snakemq.link import LinkInterface

from .._errors import Error, NoInstanceError, SignalCallWarning
from .._marks import METHOD_RPC_AS_SIGNAL_ATTR
from .._protocol import Request
from ._coroutines import RunningCoroutines
from ._decoding import Decoding
from ._delivery import Delivery
from ._exposed import ExposedObject
from ._jobs import Job
from ._requests import read_request, remaining
from ._settings import Settings


class Execution:
    """Runs methods, in the loop or in a thread of the pool."""

    def __init__(
        self,
        link: LinkInterface,
        objects: Mapping[str, ExposedObject],
        delivery: Delivery,
        settings: Settings,
    ) -> None:
        self.on_unreadable: Callable[[Job, BaseException], object] = lambda job, exc: None
        """Called, in that thread, for a large request that its thread cannot decode."""
        self.on_async_end: Callable[[Job], object] = lambda job: None
        """Called, in any thread, when the async method of a job has ended."""
        self.coroutines = RunningCoroutines(settings)
        self._link = link
        self._objects = objects
        self._writer = delivery.writer
        self._replies = delivery.replies
        self._answer = delivery.answer
        self._busy = delivery.busy
        self._settings = settings
        self._decoding = Decoding(settings)

    def run(self, job: Job) -> bool:
        """Execute a request, which may have waited, in a thread.

        Returns True if its async method goes on: then ``on_async_end`` follows.
        """
        ident, req_id = job.ident, job.req_id
        if self._is_late(job):
            return False
        if job.front is not None:
            return self._run_large(job)
        request = job.request
        if request is None:
            try:
                request = read_request(self._settings.pickler, job.message)
            except BaseException as exc:  # it was decoded once before, so the peer is not to blame
                self._failed(ident, job.method, req_id, exc)
                return False
            if (request["object"], request["method"]) != (job.object, job.method):
                # It was decided about those. Only a class or function of the user can change them.
                other = Error("the request asks for something else when it is decoded again")
                self._failed(ident, job.method, req_id, other)
                return False
        job.request = None
        if self.is_async(request):  # its object has been replaced since it came
            return self.start_async(job, request)
        self.execute(ident, request)
        return False

    def _run_large(self, job: Job) -> bool:
        try:
            request, taken = self._decoding.decode(job)
        except BaseException as exc:
            self.on_unreadable(job, exc)
            return False
        goes_on = False
        try:
            job.limit_to(remaining(request))
            if self._is_late(job):
                return False
            if self.is_async(request):
                goes_on = self.start_async(job, request, taken)
            else:
                self.execute(job.ident, request)
        finally:
            if not goes_on:
                self._decoding.leave(taken)
        return goes_on

    def is_async(self, request: Request) -> bool:
        """Does a request ask for an async method? Thread-safe."""
        exposed = self._objects.get(request["object"])
        return exposed is not None and request["method"] in exposed.coroutines

    def start_async(self, job: Job, request: Request, taken: int = 0) -> bool:
        """Begin an async method, or turn its call away if too many run. Thread-safe.

        Returns True if it has begun: then ``on_async_end`` follows, or was called already.
        ``taken``: bytes of decoded arguments, to be given back then.
        """
        if not self.coroutines.begin(job):
            assert job.req_id is not None  # a signal always runs
            self._busy(job.ident, job.req_id)
            return False

        def on_end() -> None:
            self.coroutines.end(job)
            self._decoding.leave(taken)
            self.on_async_end(job)

        if not self.execute(job.ident, request, on_end):
            on_end()
        return True

    def _is_late(self, job: Job) -> bool:
        """Has the caller of a job given up? Then forget the call."""
        if job.req_id is None or not job.is_late(self._link.time()):
            return False
        self._replies.abandon(job.ident, job.req_id)
        self._settings.log.debug(
            "call of %r of %r not executed: its caller gave up", job.method, job.ident
        )
        return True

    def execute(
        self, ident: str, request: Request, on_end: Callable[[], object] | None = None
    ) -> bool:
        """Call the method, and answer. Raises nothing.

        ``on_end``: given for an async method, and only then. Returns True if one has begun: the
        answer follows when it has ended, and then ``on_end()`` is called, in any thread.
        """
        is_call = request["command"] == "call"
        try:
            exposed = self._objects.get(request["object"])
            if exposed is None:
                raise NoInstanceError(request["object"])
            method = exposed.method(request["method"])
            if hasattr(method, METHOD_RPC_AS_SIGNAL_ATTR) is is_call:
                _warn_of_wrong_command(method)
            value = method(*request["args"], **request["kwargs"])
            if on_end is not None and isinstance(value, Coroutine):
                self._run_coroutine(value, partial(self._ended, ident, request, on_end))
                return True
            if type(value) is CoroutineType:  # isinstance() would cost each call a function more
                value.close()
                raise Error(_not_async(request["method"]))
            reply = self._writer.result(request["req_id"], value) if is_call else b""
        except BaseException as exc:
            req_id = request["req_id"] if is_call else None
            self._failed(ident, request["method"], req_id, exc)
        else:
            if is_call:
                self._answer(ident, request["req_id"], reply)
        return False

    def _run_coroutine(
        self, coroutine: Coroutine[Any, Any, Any], on_end: Callable[[Any, Any], object]
    ) -> None:
        run = self._settings.run_coroutine
        try:
            if run is None:
                raise Error("this server has no event loop any more")
            run(coroutine, on_end)
        except BaseException:
            coroutine.close()
            raise

    def _ended(
        self,
        ident: str,
        request: Request,
        on_end: Callable[[], object],
        value: Any,
        error: BaseException | None,
    ) -> None:
        """Answer with the outcome of an async method. Thread-safe."""
        req_id = request["req_id"] if request["command"] == "call" else None
        try:
            try:
                if error is None and req_id is not None:
                    reply = self._writer.result(req_id, value)
            except BaseException as exc:
                error = exc
            if error is not None:
                self._failed(ident, request["method"], req_id, error)
            elif req_id is not None:
                self._answer(ident, req_id, reply)
        finally:
            on_end()

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


def _not_async(name: str) -> str:
    return (
        f"{name!r} returned a coroutine, but is not an async method, maybe because of a decorator:"
        " it has to be an async function, too"
    )


def _warn_of_wrong_command(method: object) -> None:
    warnings.warn(f"wrong command match for {method!r}", SignalCallWarning, stacklevel=2)
