"""Holds the public class of the serving side, which ties its parts together."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable

from snakemq._settings import Fixed, Setting, function, whole, yes_or_no, zero_or_more
from snakemq.link import Abilities
from snakemq.message import Message
from snakemq.messaging import ReceiveHook

from .._acks import acknowledging, always
from .._pickling._pickler import Pickler, SafePickler
from .._protocol import ANSWERS_REFUSED, REQUEST_PREFIX
from .._sharing import add_server, remove_server
from ._answers import ReplyWriter
from ._authority import Authority
from ._delivery import Delivery
from ._draining import Draining
from ._execution import Execution
from ._exposed import ExposedObject
from ._intake import Intake
from ._replies import ReplyMemory
from ._settings import CoroutineRunner

LAST_WAIT = 0.2
"""Seconds that the cleanup of the link waits for running methods to end, so that their callers get
the result."""


class RpcServer:
    """Lets peers call methods of registered objects.

    Methods run in worker threads, many at once and in any order, unless they are marked with
    :func:`inline`. A request that is repeated after the connection broke is not executed
    again: it gets the reply of the first one, as long as that is remembered.

    ``receive_hook``: a :class:`~snakemq.messaging.ReceiveHook`. One messaging has one server, where
    all objects are registered: a second one raises :exc:`Error`.

    ``pickler``: see :class:`SafePickler`, the default. The module ``pickle`` trusts every peer
    with this process and all it may do.

    Settings are attributes too, and may change at any time:

    - ``max_waiting``: how many calls may wait for a thread.
    - ``max_waiting_bytes``: bytes of all requests that may wait for a thread.
    - ``max_coroutines``: how many calls of ``async def`` methods may run at once.
    - ``max_decoded_bytes``: while the arguments of running calls take more, no other large request
      is decoded. A request is large if it has more than 64 KiB: then its thread decodes it, not the
      loop, and one at a time.
    - ``transfer_exceptions``: do the callers get the exceptions of the methods, and their
      tracebacks? If not, they get ``Error("remote call failed")``, and the exception is logged
      here.
    - ``run_coroutine``: runs the methods that are ``async def``, of objects that are registered
      while this is set, see :data:`CoroutineRunner`; ``None``: they cannot be called. They need no
      thread, except for decoding a large request. At most ``max_coroutines`` calls of them run at
      once. A client gets half of that, the next one half of what is left, and so on: its call is
      refused because the server is busy if it runs as many as there is room left for.

    These are read-only after the construction:

    - ``threads``: the most worker threads; they are started on demand. 0: every method runs inline.
    - ``max_unread_bytes``: calls of a client begin only while fewer bytes of replies wait for it to
      take them. Until then they wait, too.
    - ``max_replies``: how many finished replies are remembered for each client.
    - ``max_reply_bytes``: bytes of the finished replies that are remembered for each client.
    - ``max_idents``: for how many clients replies are remembered.

    If more would wait than may, the newest call of the client with the most waiting is refused
    because the server is busy. A signal is never refused: until its method has returned (or
    raised, which is logged) it is not acknowledged, and so it waits here or, if the window of its
    sender is full, there. A call is not executed if it comes to a thread after the time for which
    its caller waits.

    A single reply that is longer than ``max_reply_bytes`` is sent, but if it gets lost then the
    repeated request gets an :exc:`Error` which says so: the method is not executed a second time.

    A client of 1.6 dies of an exception whose class it cannot import. So it gets the builtin ones,
    those that are registered with this server's pickler, and :exc:`Error` with their names for
    all others. Other clients get all that their own pickler allows, and else a
    :exc:`RemoteError`.

    If messaging has a ``policy``, or a method is marked with :func:`allow`, the server decides
    about each request when it arrives, by the names of object and method at its front, before it
    decodes anything else. A request without such a front is refused: every client writes one, but a
    pickler of your own may not.

    Not thread-safe: create and change it before the loop runs, or in the loop.
    """

    threads: Fixed[int] = Fixed(whole(0))
    max_waiting: Setting[int] = Setting(whole(0))
    max_waiting_bytes: Setting[int] = Setting(whole(0))
    max_coroutines: Setting[int] = Setting(whole(0))
    max_decoded_bytes: Setting[int] = Setting(whole(0))
    max_unread_bytes: Fixed[int] = Fixed(whole(0))
    max_replies: Fixed[int] = Fixed(whole(0))
    max_reply_bytes: Fixed[int] = Fixed(whole(0))
    max_idents: Fixed[int] = Fixed(whole(1))
    transfer_exceptions: Setting[bool] = Setting(yes_or_no)
    run_coroutine: Setting[CoroutineRunner | None] = Setting(function(or_none=True))

    def __init__(
        self,
        receive_hook: ReceiveHook,
        pickler: Pickler | None = None,
        *,
        threads: int = 32,
        max_waiting: int = 1000,
        max_waiting_bytes: int = 64 << 20,
        max_coroutines: int = 4000,
        max_decoded_bytes: int = 256 << 20,
        max_unread_bytes: int = 16 << 20,
        max_replies: int = 1024,
        max_reply_bytes: int = 4 << 20,
        max_idents: int = 256,
        transfer_exceptions: bool = True,
        run_coroutine: CoroutineRunner | None = None,
    ) -> None:
        self.log: logging.Logger = logging.getLogger("snakemq.rpc.server")
        self.receive_hook = receive_hook
        self.pickler: Pickler = SafePickler() if pickler is None else pickler
        self.threads = threads
        self.max_waiting = max_waiting
        self.max_waiting_bytes = max_waiting_bytes
        self.max_coroutines = max_coroutines
        self.max_decoded_bytes = max_decoded_bytes
        self.max_unread_bytes = max_unread_bytes
        self.max_replies = max_replies
        self.max_reply_bytes = max_reply_bytes
        self.max_idents = max_idents
        self.transfer_exceptions = transfer_exceptions
        self.run_coroutine = run_coroutine
        self._objects: dict[str, ExposedObject] = {}
        self._messaging = messaging = receive_hook.messaging
        self._link = messaging.packeter.link
        self._closed = False
        self._replies = ReplyMemory(
            max_replies,
            max_reply_bytes,
            max_idents,
            max_unread=max_unread_bytes,
            unread_of=lambda ident: self._delivery.unread_bytes(ident),
        )
        add_server(messaging, self)
        messaging.announce(ANSWERS_REFUSED)
        writer = ReplyWriter(self.pickler)
        self._delivery = Delivery(messaging, writer, self._replies, self.log)
        execution = Execution(self._link, self._objects, self._delivery, self)
        self._authority = Authority(messaging, self._objects)
        intake = Intake(messaging, self._objects, self._authority, self._delivery, execution, self)
        self._dispatcher = intake.dispatcher
        self._coroutines = execution.coroutines
        self._draining = Draining(self._link, intake, self._dispatcher.pool, self._coroutines)
        messaging.on_message_forgotten.add_internal(self._on_message_forgotten)
        self._closing_of_link = Abilities(self._link).on_closing
        self._closing_of_link.add_internal(self._on_closing)
        on_request = acknowledging(messaging, intake.on_request)
        receive_hook.register(REQUEST_PREFIX, on_request, claim=always(on_request))

    def register_object(
        self, instance: object, name: str, methods: Iterable[str] | None = None
    ) -> None:
        """Let peers call the methods of an object; replaces what was registered under the name.

        ``methods``: names of those that may be called. By default all whose names do not begin
        with an underscore; the others can never be called, nor can properties.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of an object is a string, not {name!r}")
        self._objects[name] = ExposedObject(
            instance, methods, runs_coroutines=self.run_coroutine is not None
        )
        self._authority.objects_changed()

    def unregister_object(self, name: str) -> None:
        """Forget an object; ``KeyError`` if there is none of that name."""
        del self._objects[name]
        self._authority.objects_changed()

    def get_registered_objects(self) -> dict[str, object]:
        """The registered objects by name."""
        return {name: exposed.instance for name, exposed in self._objects.items()}

    @property
    def unfinished(self) -> int:
        """How many requests threads are executing, or are about to begin. Thread-safe."""
        return self._dispatcher.pool.unfinished

    def busy_threads(self) -> frozenset[int]:
        """Return the identifiers of the threads that execute a request. Thread-safe."""
        return self._dispatcher.pool.busy_threads()

    def drain(self, timeout: float | None) -> int:
        """Take no more requests, and wait until those that were taken are executed. Thread-safe.

        Call this before you end a server, and then :meth:`Messaging.drain`, which waits until the
        replies have arrived. Requests that come from now on are not acknowledged: their clients
        repeat them on the next connection. That includes calls which a running method causes by
        calling its caller. A method that calls this does not wait for itself.

        ``timeout``: seconds; ``None``: any time. Returns how many of the requests that were taken
        are not done. Does not wait any longer when the server or the link is closed. Raises
        :exc:`~snakemq.exceptions.LoopError` in the thread of the loop.
        """
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        return self._draining.drain(timeout)

    def close(self) -> None:
        """Take no more requests; those that were taken are executed and answered. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._draining.end()
        with contextlib.suppress(KeyError):  # the application has cleared the hook
            self.receive_hook.unregister(REQUEST_PREFIX)
        remove_server(self._messaging, self)
        self._delivery.close()
        self._messaging.on_message_forgotten.remove(self._on_message_forgotten)
        self._closing_of_link.remove(self._on_closing)
        self._dispatcher.close()

    # In the loop.

    def _on_closing(self) -> None:
        """The link ends, maybe because a method wants it to: the callers hear of that."""
        self._draining.end()
        wait = 0.0 if self._link.in_loop() else LAST_WAIT
        in_threads = self._dispatcher.pool.wait_for_others(wait)
        for job in (*in_threads, *self._coroutines.jobs()):
            if job.req_id is not None:
                text = f"the server was shut down while {job.method!r} was running"
                self._delivery.error(job.ident, job.req_id, text)

    def _on_message_forgotten(self, ident: str, message: Message) -> None:
        job = self._dispatcher.forget(ident, message)
        if job is not None and job.req_id is not None:
            self._replies.abandon(ident, job.req_id)
