from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterable
from functools import partial
from typing import NoReturn

from snakemq.callbacks import Callback
from snakemq.exceptions import LoopError, SnakeMQBrokenMessage, SnakeMQMessageTooLarge
from snakemq.message import Message
from snakemq.messaging import ReceiveHook

from .._acks import acknowledging
from .._errors import NoInstanceError, SignalCallWarning
from .._marks import METHOD_RPC_AS_SIGNAL_ATTR
from .._pickling._pickler import Pickler, SafePickler
from .._protocol import ANSWERS_REFUSED, REQUEST_PREFIX, Request, check_request, text_of
from .._salvage import find_req_id, is_signal
from .._sharing import add_server, remove_server
from ._answers import ReplyWriter
from ._dispatcher import Dispatcher
from ._exposed import ExposedObject
from ._jobs import Job
from ._replies import REPLY_OVERHEAD, RUNNING, ReplyMemory

_LONGEST_TIMEOUT = 1e9
"""Seconds. A caller that waits longer is taken to wait forever."""

LAST_WAIT = 0.2
"""Seconds that the cleanup of the link waits for methods that are about to end, so that their
callers get the result."""

REFUSAL_TTL = 10.0
"""Seconds. The peer is disconnected because of its request, so the answer has to wait for it."""


class RpcServer:
    """Lets peers call methods of registered objects.

    Methods run in worker threads, many at once and in any order, unless they are marked with
    :func:`inline`. A request that is repeated after the connection broke is not executed
    again: it gets the reply of the first one, as long as that is remembered (at least the last
    ``max_replies`` of each client, if they are not longer than ``max_reply_bytes``).

    ``receive_hook``: a :class:`~snakemq.messaging.ReceiveHook`. One messaging has one server, where
    all objects are registered: a second one raises :exc:`Error`.

    ``pickler``: see :class:`SafePickler`, the default. The module ``pickle`` trusts every peer
    with this process and all it may do.

    ``threads``: the most worker threads; they are started on demand. 0: every method runs inline.

    ``max_waiting``, ``max_waiting_bytes``: calls that may wait for a thread, and bytes of all
    requests that wait; beyond that the newest call of the client with the most waiting is refused
    because the server is busy. A signal is never refused: until its method has returned (or
    raised, which is logged) it is not acknowledged, and so it waits here or, if the window of its
    sender is full, there.

    ``max_unread_bytes``: calls of a client begin only while fewer bytes of replies wait for it to
    take them; until then they wait as above.

    A call is not executed if it comes to a thread after the time for which its caller waits.

    ``max_replies``, ``max_reply_bytes``, ``max_idents``: finished replies that are remembered for
    each client, their length in bytes, and for how many clients. A single reply that is longer
    than ``max_reply_bytes`` is sent, but if it gets lost then the repeated request gets an
    :exc:`Error` which says so: the method is not executed a second time.

    Not thread-safe: create and change it before the loop runs, or in the loop.
    """

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
        max_waiting_bytes: int = 64 << 20,
        max_unread_bytes: int = 16 << 20,
        max_replies: int = 1024,
        max_reply_bytes: int = 4 << 20,
        max_idents: int = 256,
    ) -> None:
        self.log: logging.Logger = logging.getLogger("snakemq.rpc.server")
        self.receive_hook = receive_hook
        self.pickler: Pickler = SafePickler() if pickler is None else pickler
        self.transfer_exceptions = True
        self._objects: dict[str, ExposedObject] = {}
        self._messaging = messaging = receive_hook.messaging
        self._link = messaging.packeter.link
        add_server(messaging, self)
        messaging.announce(ANSWERS_REFUSED)
        self._writer = ReplyWriter(self.pickler)
        self._replies = ReplyMemory(
            max_replies,
            max_reply_bytes,
            max_idents,
            max_unread=max_unread_bytes,
            unread_of=self._unread_of,
        )
        self._has_threads = threads > 0
        self._dispatcher = Dispatcher(
            messaging,
            self._replies,
            threads=threads,
            max_waiting=max_waiting,
            max_waiting_bytes=max_waiting_bytes,
            run=self._run,
            take=self._take_held,
            turn_away=self._turn_away,
            log=self.log,
        )
        self._pool = self._dispatcher.pool
        self._closed = False
        messaging.on_message_drop.add_internal(self._on_message_drop)
        messaging.on_message_forgotten.add_internal(self._on_message_forgotten)
        # Only a link that is cleaned up calls it.
        self._closing_of_link: Callback[[]] = getattr(self._link, "on_closing", Callback())
        self._closing_of_link.add_internal(self._on_closing)
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
        with contextlib.suppress(KeyError):  # the application has cleared the hook
            self.receive_hook.unregister(REQUEST_PREFIX)
        remove_server(self._messaging, self)
        self._messaging.on_message_drop.remove(self._on_message_drop)
        self._messaging.on_message_forgotten.remove(self._on_message_forgotten)
        self._closing_of_link.remove(self._on_closing)
        self._dispatcher.close()

    # In the loop.

    def _on_request(self, conn_id: str, ident: str, message: Message) -> bool:
        """True: the message is acknowledged later."""
        if ident in self._replies.full and self._dispatcher.must_wait(ident):
            job = Job(ident, message, self._link.time())
            self._dispatcher.hold(job)
            return True
        return self._take(ident, message, None)

    def _take_held(self, job: Job) -> None:
        """One whose client had unread replies."""
        is_open = False
        try:
            is_open = self._take(job.ident, job.message, job)
        except SnakeMQBrokenMessage as exc:
            self.log.error("%s", exc)
        if not is_open:
            self._dispatcher.acknowledge(job)

    def _take(self, ident: str, message: Message, job: Job | None) -> bool:
        body = message.data[len(REQUEST_PREFIX) :]
        try:
            request = check_request(self.pickler.loads(body))
        except KeyboardInterrupt:
            raise  # of the user
        except BaseException as exc:  # a registered class may raise anything
            self._refuse(ident, message, exc)
            return False
        if self.log.isEnabledFor(logging.DEBUG):
            self.log.debug(
                "%s from ident=%r obj=%r method=%r req_id=%r",
                *(request["command"], ident, request["object"], request["method"]),
                request.get("req_id"),
            )
        is_call = request["command"] == "call"
        if is_call:
            remembered = self._replies.begin(ident, request["req_id"])
            if remembered is not None:
                if remembered is not RUNNING:
                    self._answer_again(ident, request["req_id"], remembered)
                return False
        exposed = self._objects.get(request["object"])
        if not self._has_threads or (exposed is not None and request["method"] in exposed.inline):
            self._execute(ident, request)
            return False
        if job is None:
            job = Job(ident, message, self._link.time())
        job.decoded(request, _remaining(request))
        if self._dispatcher.start(job):
            return job.is_open
        self._turn_away(ident, request["req_id"])
        return False

    def _unread_of(self, ident: str) -> int:
        """Bytes of messages that a client has not taken."""
        messages, size = self._messaging.outstanding(ident)
        return size + REPLY_OVERHEAD * messages

    def _refuse(self, ident: str, message: Message, exc: BaseException) -> None:
        """End the call that cannot be decoded, and nothing else: it is not executed, and as it is
        answered it does not come again.

        What names no call breaks the rules and ends the connection; its answer, which comes with
        the next one, names the message. Older clients ignore that.
        """
        body = message.data[len(REQUEST_PREFIX) :]
        text = f"request refused: {text_of(exc)}"
        req_id = find_req_id(body)
        if req_id is not None:
            if not self.transfer_exceptions:
                self.log.error("a call of %r: %s", ident, text)
                text = "request refused"
            self._send_error(ident, req_id, text)
        elif is_signal(body):
            self.log.error("a signal of %r: %s", ident, text)
        else:
            answer = "request refused: it names no call, and cannot be decoded"
            reply = self._writer.error(message.uuid, answer)
            self._replies.sent(ident, len(reply))
            self._messaging.send_message(ident, Message(reply, REFUSAL_TTL), urgent=True)
            raise SnakeMQBrokenMessage(f"refused a request of {ident!r}: {text_of(exc)}") from exc

    def _turn_away(self, ident: str, req_id: bytes) -> None:
        reply = self._writer.busy(req_id)
        self._replies.abandon(ident, req_id, len(reply))
        self._messaging.send_message(ident, Message(reply), urgent=True)

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

    def _on_closing(self) -> None:
        """The link ends, maybe because a method wants it to: the callers hear of that."""
        wait = 0.0 if self._link.in_loop() else LAST_WAIT
        for job in self._pool.wait_for_others(wait):
            if job.req_id is not None:
                text = f"the server was shut down while {job.method!r} was running"
                reply = Message(self._writer.error(job.req_id, text))
                self._messaging.send_message(job.ident, reply, urgent=True)

    def _on_message_forgotten(self, ident: str, message: Message) -> None:
        job = self._dispatcher.forget(ident, message)
        if job is not None and job.req_id is not None:
            self._replies.abandon(ident, job.req_id)

    # In the loop or in a worker thread.

    def _run(self, job: Job) -> None:
        """Execute a request that may have waited, in a thread."""
        ident, req_id = job.ident, job.req_id
        if req_id is not None and job.deadline is not None and self._link.time() > job.deadline:
            self._replies.abandon(ident, req_id)
            self.log.debug("call of %r of %r not executed: its caller gave up", job.method, ident)
            return
        request = job.request
        if request is None:
            try:
                body = job.message.data[len(REQUEST_PREFIX) :]
                request = check_request(self.pickler.loads(body))
            except BaseException as exc:  # it was decoded once, so this is no fault of the peer
                self._failed(ident, job.method, req_id, exc)
                return
        job.request = None
        self._execute(ident, request)

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
            req_id = request["req_id"] if is_call else None
            self._failed(ident, request["method"], req_id, exc)
        else:
            if is_call:
                self._answer(ident, request["req_id"], reply)

    def _failed(self, ident: str, method: str, req_id: bytes | None, exc: BaseException) -> None:
        """``req_id``: ``None`` for a signal."""
        if req_id is None or not self.transfer_exceptions:
            command = "signal" if req_id is None else "call"
            self.log.error("%s %r of %r failed", command, method, ident, exc_info=exc)
        if req_id is not None:
            self._answer(ident, req_id, self._failure(req_id, exc))
        if isinstance(exc, KeyboardInterrupt) and self._link.in_loop():
            # Of the user, while a method ran in the loop. Raised here it would cost the connection,
            # and the caller its answer.
            self._link.call_later(0.0, partial(_raise, exc))

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
                self._replies.finish(ident, req_id, remembered, message.uuid, len(reply))
        else:
            # First remembered, then sent: a request that is repeated in between gets it.
            self._replies.finish(ident, req_id, remembered, message.uuid, len(reply))
            self._send(ident, req_id, message)

    def _answer_again(self, ident: str, req_id: bytes, reply: bytes) -> None:
        message = Message(reply)
        self._replies.sent_again(ident, req_id, message.uuid)
        self._send(ident, req_id, message)

    def _send_error(self, ident: str, req_id: bytes, text: str) -> None:
        reply = self._writer.error(req_id, text)
        self._replies.sent(ident, len(reply))
        self._messaging.send_message(ident, Message(reply), urgent=True)

    def _send(self, ident: str, req_id: bytes, message: Message) -> None:
        try:
            self._messaging.send_message(ident, message, urgent=True)
        except SnakeMQMessageTooLarge as exc:
            self._send_error(ident, req_id, f"the reply is too large: {exc}")
        except LoopError as exc:  # nobody is left who could be told
            self.log.debug("no reply to %r: %s", ident, exc)


def _remaining(request: Request) -> float | None:
    """Seconds for which the caller still waited; ``None``: without an end, or it does not say."""
    remaining: object = request.get("timeout")
    if isinstance(remaining, (int, float)) and 0 <= remaining < _LONGEST_TIMEOUT:
        return remaining
    return None


def _raise(exc: BaseException) -> NoReturn:
    raise exc


def _warn_of_wrong_command(method: object) -> None:
    warnings.warn(f"wrong command match for {method!r}", SignalCallWarning, stacklevel=2)
