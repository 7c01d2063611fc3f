from __future__ import annotations

import logging
import pickle
import warnings
from collections.abc import Iterable
from functools import partial
from typing import NoReturn

from snakemq.exceptions import LoopError, SnakeMQBrokenMessage, SnakeMQMessageTooLarge
from snakemq.message import Message
from snakemq.messaging import ReceiveHook

from ._acks import acknowledging
from ._answers import ReplyWriter
from ._errors import NoInstanceError, SignalCallWarning
from ._exposed import ExposedObject
from ._marks import METHOD_RPC_AS_SIGNAL_ATTR
from ._pickler import Pickler, SafePickler, loads_inert
from ._pool import WorkerPool
from ._protocol import REQUEST_PREFIX, Request, check_request, is_req_id, text_of
from ._replies import RUNNING, ReplyMemory

REFUSAL_TTL = 10.0
"""Seconds. The peer is disconnected because of its request, so the answer has to wait for it."""


class RpcServer:
    """Lets peers call methods of registered objects.

    Methods run in worker threads, many at once and in any order, unless they are marked with
    :func:`inline`. A request that is repeated after the connection broke is not executed
    again: it gets the reply of the first one, as long as that is remembered (at least the last
    ``max_replies`` of each client, if they are not longer than ``max_reply_bytes``).

    ``receive_hook``: a :class:`~snakemq.messaging.ReceiveHook`.

    ``pickler``: see :class:`SafePickler`, the default. The module ``pickle`` trusts every peer
    with this process and all it may do.

    ``threads``: at most so many worker threads, started on demand. 0: every method runs inline.

    ``max_waiting``: so many requests may wait for a thread; the next call is answered with an
    :exc:`Error`, the next signal is dropped and logged.

    ``max_replies``, ``max_reply_bytes``, ``max_idents``: finished replies that are remembered for
    each client, their length in bytes, and for how many clients. A single reply that is longer
    than ``max_reply_bytes`` is sent, but if it gets lost then the repeated request gets an
    :exc:`Error` which says so: the method is not executed a second time.

    Not thread-safe: create and change it before the loop runs, or in the loop.
    """

    __module__ = "snakemq.rpc"

    transfer_exceptions: bool
    """Do the callers get the exceptions of the methods, and their tracebacks? True by default.
    If not, they get ``Error("remote call failed")``, and the exception is logged here.

    A client of 1.6 dies of an exception whose class it cannot import. So it gets the builtin ones,
    those that are registered with this server's pickler, and :exc:`Error` with their names for
    all others. Other clients get all that their own pickler allows, and else a
    :exc:`RemoteError`."""

    def __init__(
        self,
        receive_hook: ReceiveHook,
        pickler: Pickler | None = None,
        *,
        threads: int = 32,
        max_waiting: int = 1000,
        max_replies: int = 1024,
        max_reply_bytes: int = 4 << 20,
        max_idents: int = 256,
    ) -> None:
        self.log = logging.getLogger("snakemq.rpc.server")
        self.receive_hook = receive_hook
        self.pickler: Pickler = SafePickler() if pickler is None else pickler
        self.transfer_exceptions = True
        self._objects: dict[str, ExposedObject] = {}
        self._replies = ReplyMemory(max_replies, max_reply_bytes, max_idents)
        self._writer = ReplyWriter(self.pickler)
        self._pool = WorkerPool(threads, max_waiting, "snakemq-rpc") if threads else None
        self._closed = False
        self._messaging = messaging = receive_hook.messaging
        self._link = messaging.packeter.link
        messaging.on_message_drop.add(self._on_message_drop)
        receive_hook.register(REQUEST_PREFIX, acknowledging(messaging, self._on_request))

    def register_object(
        self, instance: object, name: str, methods: Iterable[str] | None = None
    ) -> None:
        """Let peers call the methods of an object; replaces what was registered under the name.

        ``methods``: names of those that may be called. By default all whose names do not begin
        with an underscore; the others can never be called, nor can properties.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of an object is a string, not {name!r}")
        self._objects[name] = ExposedObject(instance, methods)

    def unregister_object(self, name: str) -> None:
        """Forget an object; ``KeyError`` if there is none of that name."""
        del self._objects[name]

    def get_registered_objects(self) -> dict[str, object]:
        """The registered objects by name."""
        return {name: exposed.instance for name, exposed in self._objects.items()}

    def close(self) -> None:
        """Take no more requests; those that were taken are executed and answered. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.receive_hook.unregister(REQUEST_PREFIX)
        self._messaging.on_message_drop.remove(self._on_message_drop)
        if self._pool is not None:
            self._pool.close()

    # In the loop.

    def _on_request(self, conn_id: str, ident: str, message: Message) -> None:
        body = message.data[len(REQUEST_PREFIX) :]
        try:
            request = check_request(self.pickler.loads(body))
        except Exception as exc:
            self._refuse(ident, body, exc)
        if self.log.isEnabledFor(logging.DEBUG):
            self.log.debug(
                "%s from ident=%r obj=%r method=%r req_id=%r",
                *(request["command"], ident, request["object"], request["method"]),
                request.get("req_id"),
            )
        if request["command"] == "call":
            remembered = self._replies.begin(ident, request["req_id"])
            if remembered is not None:
                if remembered is not RUNNING:
                    self._answer_again(ident, request["req_id"], remembered)
                return
        exposed = self._objects.get(request["object"])
        if self._pool is None or (exposed is not None and request["method"] in exposed.inline):
            self._execute(ident, request)
        elif not self._pool.submit(partial(self._execute, ident, request)):
            self._turn_away(ident, request)

    def _refuse(self, ident: str, body: bytes, exc: Exception) -> NoReturn:
        """Tell an honest client why, if that can be done, and messaging to disconnect it."""
        try:
            request = loads_inert(body)
        except pickle.UnpicklingError:
            request = None
        req_id = request.get("req_id") if type(request) is dict else None
        if is_req_id(req_id):
            text = f"request refused: {text_of(exc)}"
            if not self.transfer_exceptions:
                text = "request refused"
            self._send(ident, req_id, Message(self._writer.error(req_id, text), REFUSAL_TTL))
        raise SnakeMQBrokenMessage(f"refused a request of {ident!r}: {text_of(exc)}") from exc

    def _turn_away(self, ident: str, request: Request) -> None:
        if request["command"] == "call":
            req_id = request["req_id"]
            self._replies.abandon(ident, req_id)
            self._send_error(ident, req_id, "server busy, not executed")
        else:
            self.log.error("signal %r of %r dropped: server busy", request["method"], ident)

    def _on_message_drop(self, ident: str, uuid: bytes) -> None:
        if not self._messaging.is_connected(ident):
            return  # it went with the connection: the client will repeat its request
        dropped = self._replies.dropped(ident, uuid)
        if dropped is None:
            return
        if dropped.times == 1:
            # It may have been sent while the client was away, in which case all is well now.
            self._answer_again(ident, dropped.req_id, dropped.reply)
        elif dropped.times == 2:
            text = f"the reply of {len(dropped.reply)} bytes was dropped, the client takes it not"
            self._send_error(ident, dropped.req_id, text)

    # In the loop or in a worker thread.

    def _execute(self, ident: str, request: Request) -> None:
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
            if not is_call or not self.transfer_exceptions:
                self.log.error(
                    "%s %r of %r failed",
                    *(request["command"], request["method"], ident),
                    exc_info=exc,
                )
            if is_call:
                self._answer(ident, request["req_id"], self._failure(request["req_id"], exc))
            if isinstance(exc, KeyboardInterrupt):
                raise  # of the user, while a method ran in the loop
        else:
            if is_call:
                self._answer(ident, request["req_id"], reply)

    def _failure(self, req_id: bytes, exc: BaseException) -> bytes:
        if self.transfer_exceptions:
            return self._writer.failure(req_id, exc)
        return self._writer.error(req_id, "remote call failed")

    def _answer(self, ident: str, req_id: bytes, reply: bytes) -> None:
        remembered = reply
        if not self._replies.fits(reply):
            text = f"the reply got lost, and with {len(reply)} bytes was too long to be remembered"
            remembered = self._writer.error(req_id, text)
        message = Message(reply)
        if self._link.in_loop():
            # Nothing can come in between, so the caller need not wait for the memory.
            try:
                self._send(ident, req_id, message)
            finally:
                self._replies.finish(ident, req_id, remembered, message.uuid)
        else:
            # First remembered, then sent: a request that is repeated in between gets it.
            self._replies.finish(ident, req_id, remembered, message.uuid)
            self._send(ident, req_id, message)

    def _answer_again(self, ident: str, req_id: bytes, reply: bytes) -> None:
        message = Message(reply)
        self._replies.sent_again(ident, req_id, message.uuid)
        self._send(ident, req_id, message)

    def _send_error(self, ident: str, req_id: bytes, text: str) -> None:
        self._messaging.send_message(ident, Message(self._writer.error(req_id, text)))

    def _send(self, ident: str, req_id: bytes, message: Message) -> None:
        try:
            self._messaging.send_message(ident, message, urgent=True)
        except SnakeMQMessageTooLarge as exc:
            self._send_error(ident, req_id, f"the reply is too large: {exc}")
        except LoopError as exc:  # nobody is left who could be told
            self.log.debug("no reply to %r: %s", ident, exc)


def _warn_of_wrong_command(method: object) -> None:
    warnings.warn(f"wrong command match for {method!r}", SignalCallWarning, stacklevel=2)
