"""Takes requests off the wire: decodes them, and decides what happens to each."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Container, Mapping

from snakemq.exceptions import NoConnection, SnakeMQBrokenMessage
from snakemq.identity import Identity
from snakemq.message import Message
from snakemq.messaging import Messaging

from .._acks import deny
from .._front import Front, is_front_of, read_front
from .._protocol import Request, text_of
from .._salvage import find_req_id, is_signal
from ._authority import Authority, Verdict
from ._decoding import DECODED_AT_ONCE
from ._delivery import Delivery
from ._dispatcher import Dispatcher
from ._execution import Execution
from ._exposed import ExposedObject
from ._jobs import Job
from ._replies import RUNNING
from ._requests import body_of, read_request
from ._settings import Settings

NO_FRONT = (
    "this server has a policy, so object and method must come before the arguments, in pickle"
    " protocol 3, 4 or 5"
)

NO_LARGE_FRONT = (
    f"in a request of more than {DECODED_AT_ONCE} bytes, object and method must come before the"
    " arguments, and the id of a call first or last, in pickle protocol 3, 4 or 5"
)


class Intake:
    """Answers repeated requests from memory, runs inline methods at once, passes other requests to
    the :class:`Dispatcher`, and refuses what cannot be decoded. For the loop only.
    """

    def __init__(
        self,
        messaging: Messaging,
        objects: Mapping[str, ExposedObject],
        authority: Authority,
        delivery: Delivery,
        execution: Execution,
        settings: Settings,
    ) -> None:
        self._messaging = messaging
        self._link = messaging.packeter.link
        self._objects = objects
        self._authority = authority
        self._replies = delivery.replies
        self._delivery = delivery
        self._execution = execution
        execution.on_unreadable = self._unreadable
        execution.on_async_end = self._async_ended
        self._has_threads = settings.threads > 0
        self._settings = settings
        self.is_taking = False
        """Is the loop at work on a request that has just arrived? Any thread may read it."""
        self.takes_no_more = False
        """Are requests left to their senders from now on? Any thread may set it."""
        self.dispatcher = Dispatcher(
            messaging, delivery, settings, run=execution.run, take=self._take_held
        )

    def on_request(self, conn_id: str, ident: str, message: Message) -> bool:
        """Handle a message from the receive hook. True: it will be acknowledged later, or never."""
        self.is_taking = True  # before the next look, see Draining
        try:
            if self.takes_no_more:
                return self._leave(message)
            if ident in self._replies.full and self._delivery.must_wait(ident):
                job = Job(ident, message, self._link.time())
                job.sender = self._identity(conn_id)
                self.dispatcher.hold(job)
                return True
            if self._messaging.policy is None and not self._authority.has_marks:
                return self._take(ident, message, None, None)
            front = self._allowed(self._identity(conn_id), message)
            return front is not None and self._take(ident, message, None, front)
        finally:
            self.is_taking = False

    def _leave(self, message: Message) -> bool:
        """Leave a request to its sender, which repeats it on the next connection."""
        with contextlib.suppress(ValueError):  # the application acknowledges all messages itself
            self._messaging.defer_ack(message)
        return True

    def _identity(self, conn_id: str) -> Identity | None:
        try:
            return self._messaging.identity(conn_id)
        except NoConnection:  # a message that is offered again, and its peer has gone
            return None

    def _take_held(self, job: Job) -> None:
        """Take a request that was held because its client had unread replies."""
        is_open = False
        try:
            if self._messaging.policy is None and not self._authority.has_marks:
                is_open = self._take(job.ident, job.message, job, None)
            else:
                front = self._allowed(job.sender, job.message)
                is_open = front is not None and self._take(job.ident, job.message, job, front)
        except SnakeMQBrokenMessage as exc:
            self._settings.log.error("%s", exc)
        if not is_open:
            self.dispatcher.acknowledge(job)

    def _allowed(self, sender: Identity | None, message: Message) -> Front | None:
        """Return the front of a request that its peer may make; refuse any other.

        Nothing behind the front is looked at, except for the id of the call at the very end.
        """
        if sender is None:
            return None  # its client repeats it on the next connection
        front = read_front(message.data)
        if front is None:
            self._messaging.refused(sender, "call", "without object and method at its front")
            self._refuse(sender.ident, message, SnakeMQBrokenMessage(NO_FRONT))
            return None
        object_name, method, is_signal = front
        verdict = self._authority.judge(sender, object_name, method)
        if verdict is Verdict.ALLOWED:
            return front
        target = f"{object_name}.{method}"
        req_id = None if is_signal else find_req_id(body_of(message), {})
        if req_id is not None and self._is_known(sender.ident, req_id):
            return None  # it was allowed when it came first
        if verdict is not Verdict.ABSENT:
            self._messaging.refused(sender, "signal" if is_signal else "call", target)
        if is_signal:
            if verdict is Verdict.ABSENT:
                self._settings.log.error("signal %r of %r: no such object", target, sender.ident)
            else:
                deny(self._messaging, message)
            return None
        if req_id is None:
            raise self._nameless(sender.ident, message, "it is not allowed")
        write = self._delivery.writer
        if verdict is Verdict.NOT_ALLOWED:
            reply = write.not_allowed(req_id, target)
        elif self._settings.transfer_exceptions:
            reply = write.no_instance(req_id, object_name)
        else:
            reply = write.hidden_failure(req_id)
        self._delivery.refuse(sender.ident, req_id, reply)
        return None

    def _is_known(self, ident: str, req_id: bytes) -> bool:
        """Is this a request that has come before? If it was answered, this answers it again."""
        remembered = self._replies.find(ident, req_id)
        if remembered is not None and remembered is not RUNNING:
            self._delivery.answer_again(ident, req_id, remembered)
        return remembered is not None

    def _take(self, ident: str, message: Message, job: Job | None, front: Front | None) -> bool:
        """``front``: what was allowed; ``None`` if everything is."""
        if len(message.data) > DECODED_AT_ONCE and self._has_threads:
            large = front if front is not None else read_front(message.data)
            if large is None or large[1] not in self._inline_methods(large[0]):
                return self._take_large(ident, message, job, large)
        try:
            request = read_request(self._settings.pickler, message)
            if front is not None and not is_front_of(front, request):
                self._audit_difference(ident, front, request)
                raise SnakeMQBrokenMessage("it asks for something else than its front")
        except KeyboardInterrupt:
            raise  # of the user
        except BaseException as exc:  # a registered class may raise anything
            self._refuse(ident, message, exc)
            return False
        log = self._settings.log
        if log.isEnabledFor(logging.DEBUG):
            log.debug(
                "%s from ident=%r obj=%r method=%r req_id=%r",
                *(request["command"], ident, request["object"], request["method"]),
                request.get("req_id"),
            )
        if request["command"] == "call" and self._has_come_before(ident, request["req_id"]):
            return False
        exposed = self._objects.get(request["object"])
        is_async = exposed is not None and request["method"] in exposed.coroutines
        is_inline = exposed is not None and request["method"] in exposed.inline
        if not is_async and (is_inline or not self._has_threads):
            self._execution.execute(ident, request)
            return False
        if job is None:
            job = Job(ident, message, self._link.time())
        job.decoded(request)
        return self._start_async(job, request) if is_async else self._start(job)

    def _start_async(self, job: Job, request: Request) -> bool:
        """Begin an async method. Its message is acknowledged when it has ended, so the window of
        the client bounds how many run for it."""
        self.dispatcher.defer_ack(job)
        job.request = None
        if not self._execution.start_async(job, request):
            self.dispatcher.acknowledge(job)
        return True

    def _async_ended(self, job: Job) -> None:
        """Tell all that wait for the end of an async method. Thread-safe."""
        self.dispatcher.acknowledge(job)
        self.dispatcher.pool.ring()

    def _has_come_before(self, ident: str, req_id: bytes) -> bool:
        """Begin a call, unless it is a repetition: then answer it again if it was answered."""
        remembered = self._replies.begin(ident, req_id)
        if remembered is not None and remembered is not RUNNING:
            self._delivery.answer_again(ident, req_id, remembered)
        return remembered is not None

    def _start(self, job: Job) -> bool:
        """Have a job executed, now or later, or turn it away. True: it is acknowledged later."""
        if self.dispatcher.start(job):
            return job.is_open
        assert job.req_id is not None  # a signal always waits
        self._delivery.busy(job.ident, job.req_id)
        if not job.is_open:
            return False
        self.dispatcher.acknowledge(job)
        return True

    def _inline_methods(self, name: str) -> Container[str]:
        exposed = self._objects.get(name)
        return exposed.inline if exposed is not None else ()

    def _take_large(
        self, ident: str, message: Message, job: Job | None, front: Front | None
    ) -> bool:
        """Let a thread decode a request, and execute it."""
        body = body_of(message)
        req_id = find_req_id(body, {})
        is_call = front is None or not front[2]
        if front is None or (is_call and req_id is None):
            if req_id is None:
                raise self._nameless(ident, message, NO_LARGE_FRONT)
            self._refuse_call(ident, req_id, SnakeMQBrokenMessage(NO_LARGE_FRONT))
            return False
        if not is_call:
            req_id = None
        elif req_id is not None and self._has_come_before(ident, req_id):
            return False
        if job is None:
            job = Job(ident, message, self._link.time())
        exposed = self._objects.get(front[0])
        job.named(front, req_id)
        job.is_async = exposed is not None and front[1] in exposed.coroutines
        return self._start(job)

    def _unreadable(self, job: Job, exc: BaseException) -> None:
        """Refuse a large request that its thread could not decode. Thread-safe."""
        if job.req_id is None:
            self._settings.log.error("a signal of %r: request refused: %s", job.ident, text_of(exc))
            return
        self._replies.abandon(job.ident, job.req_id)
        self._refuse_call(job.ident, job.req_id, exc)

    def _audit_difference(self, ident: str, front: Front, request: Request) -> None:
        sender = self._messaging.identity_of(ident)
        if sender is not None:
            asked = f"{request['object']}.{request['method']}"
            allowed = f"{front[0]}.{front[1]}"
            self._messaging.refused(sender, "call", f"{asked}, but {allowed} at its front")

    def _refuse(self, ident: str, message: Message, exc: BaseException) -> None:
        """End only the call that cannot be decoded: it is not executed, and because it is answered
        it does not come again.

        A request that names no call breaks the rules and ends the connection. Its answer, which
        follows in the next connection, names the message; older clients ignore that.
        """
        body = body_of(message)
        req_id = find_req_id(body)
        if req_id is not None:
            self._refuse_call(ident, req_id, exc)
        elif is_signal(body):
            self._settings.log.error("a signal of %r: request refused: %s", ident, text_of(exc))
        else:
            raise self._nameless(ident, message, text_of(exc)) from exc

    def _refuse_call(self, ident: str, req_id: bytes, exc: BaseException) -> None:
        text = f"request refused: {text_of(exc)}"
        if not self._settings.transfer_exceptions:
            self._settings.log.error("a call of %r: %s", ident, text)
            text = "request refused"
        self._delivery.error(ident, req_id, text)

    def _nameless(self, ident: str, message: Message, why: str) -> SnakeMQBrokenMessage:
        """Answer a request that names no call, and return the error that ends the connection."""
        self._delivery.refusal(ident, message.uuid)
        return SnakeMQBrokenMessage(f"refused a request of {ident!r}: {why}")
