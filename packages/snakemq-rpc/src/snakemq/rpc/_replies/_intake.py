"""Takes requests off the wire: reads them, and decides what becomes of each."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.message import Message
from snakemq.messaging import Messaging

from .._protocol import text_of
from .._salvage import find_req_id, is_signal
from ._delivery import Delivery
from ._dispatcher import Dispatcher
from ._execution import Execution, Settings
from ._exposed import ExposedObject
from ._jobs import Job
from ._replies import RUNNING
from ._requests import body_of, read_request


class Intake:
    """Repeated requests are answered from memory, inline methods run at once, the others go to the
    :class:`Dispatcher`, and what cannot be decoded is refused. For the loop only.
    """

    def __init__(
        self,
        messaging: Messaging,
        objects: Mapping[str, ExposedObject],
        delivery: Delivery,
        execution: Execution,
        settings: Settings,
    ) -> None:
        self._link = messaging.packeter.link
        self._objects = objects
        self._replies = delivery.replies
        self._delivery = delivery
        self._execute = execution.execute
        self._has_threads = settings.threads > 0
        self._settings = settings
        self.dispatcher = Dispatcher(
            messaging, delivery, settings, run=execution.run, take=self._take_held
        )

    def on_request(self, conn_id: str, ident: str, message: Message) -> bool:
        """Called by the receive hook. True: the message is acknowledged later."""
        if ident in self._replies.full and self._delivery.must_wait(ident):
            self.dispatcher.hold(Job(ident, message, self._link.time()))
            return True
        return self._take(ident, message, None)

    def _take_held(self, job: Job) -> None:
        """Take one whose client had unread replies."""
        is_open = False
        try:
            is_open = self._take(job.ident, job.message, job)
        except SnakeMQBrokenMessage as exc:
            self._settings.log.error("%s", exc)
        if not is_open:
            self.dispatcher.acknowledge(job)

    def _take(self, ident: str, message: Message, job: Job | None) -> bool:
        try:
            request = read_request(self._settings.pickler, message)
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
        if request["command"] == "call":
            remembered = self._replies.begin(ident, request["req_id"])
            if remembered is not None:
                if remembered is not RUNNING:
                    self._delivery.answer_again(ident, request["req_id"], remembered)
                return False
        exposed = self._objects.get(request["object"])
        if not self._has_threads or (exposed is not None and request["method"] in exposed.inline):
            self._execute(ident, request)
            return False
        if job is None:
            job = Job(ident, message, self._link.time())
        job.decoded(request)
        if self.dispatcher.start(job):
            return job.is_open
        self._delivery.busy(ident, request["req_id"])
        return False

    def _refuse(self, ident: str, message: Message, exc: BaseException) -> None:
        """End the call that cannot be decoded, and nothing else: it is not executed, and as it is
        answered it does not come again.

        What names no call breaks the rules and ends the connection; its answer, which comes with
        the next one, names the message. Older clients ignore that.
        """
        body = body_of(message)
        text = f"request refused: {text_of(exc)}"
        req_id = find_req_id(body)
        if req_id is not None:
            if not self._settings.transfer_exceptions:
                self._settings.log.error("a call of %r: %s", ident, text)
                text = "request refused"
            self._delivery.error(ident, req_id, text)
        elif is_signal(body):
            self._settings.log.error("a signal of %r: %s", ident, text)
        else:
            self._delivery.refusal(ident, message.uuid)
            raise SnakeMQBrokenMessage(f"refused a request of {ident!r}: {text_of(exc)}") from exc
