"""The front door: one object that has all layers."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from snakemq._settings import zero_or_more
from snakemq.callbacks import check_callback
from snakemq.identity import Authenticator, Identity
from snakemq.link import Link, SSLConfig
from snakemq.messaging import Messaging, MessagingStats, QueueLimits, Receipt
from snakemq.policy import Policy
from snakemq.queues import InboxStorage

from . import _running
from ._addresses import AnyAddress, parse, place_of, to_url
from ._codecs import Codec
from ._iteration import Messages
from ._options import Options
from ._place import place_of_caller
from ._presence import ConnectedPeer
from ._received import ReceivedMessage
from ._sending import Terms
from ._stack import Stack
from ._storages import AnyStorage

if TYPE_CHECKING:
    from ._rpc import Calls

H = TypeVar("H", bound=Callable[[ReceivedMessage], object])

KEEPALIVE_INTERVAL = 30.0
"""Seconds of silence after which a peer is pinged: shorter than the time after which routers forget
a connection."""

KEEPALIVE_WAIT = 10.0
"""Seconds to wait for the answer to a ping."""

CALL_TIMEOUT = 60.0
"""Seconds that a remote call waits for its answer."""

CLOSE_TIMEOUT = 5.0
"""Seconds that :meth:`Peer.close` takes at most to deliver what was sent."""


class Peer:
    """A named peer: it listens and connects, sends and receives messages, and makes remote calls.

    It consists of a link, a packeter and a messaging, whose loop runs in a thread of its own from
    the construction to :meth:`close`. All methods are thread-safe. Those that wait raise
    :exc:`~snakemq.exceptions.LoopError` in callbacks of these layers; what is begun after
    :meth:`close` raises :exc:`PeerClosed`. A peer that is forgotten, and not closed, warns
    (``ResourceWarning``). After a fork, make a new one.

    - ``ident``: the name of this peer, at most 50 characters, unique among its peers.
    - ``storage``: where messages wait for their peers, and survive the end of this process: an
      object or a URL, see :func:`~snakemq.messaging.open_storage`. Without one they wait in memory.
    - ``inbox``: a storage in which is written down what was processed, so that nothing is processed
      twice after a crash either: an object or a URL. It can be the one of ``storage``, but not one
      that commits with callbacks, such as ``SqliteInbox``.
    - ``dead_letters``: a storage for messages that were rejected here: an object or a URL.
    - ``authenticator``, ``policy``: who peers are, and what they may do; see
      :class:`~snakemq.messaging.Messaging`. Without them, all peers are believed and may do
      anything.
    - ``queue_limits``: how much may wait for peers; ``None``: any amount.
    - ``keepalive_interval``: seconds of silence after which a peer is pinged; ``None``: never.
    - ``keepalive_wait``: seconds to wait for the answer.
    - ``call_timeout``: seconds that a remote call waits for its answer, also for its peer to
      connect; ``None``: forever.
    - ``close_timeout``: seconds that :meth:`close` takes at most, unless it is given others.
    - ``codecs``: codecs beside ``json`` and ``text``, see :class:`Codec`.

    A storage that is given as a URL is closed with the peer, and one that is given as an object is
    not. Raises ``TypeError``, ``ValueError``, and what opening the storages raises.
    """

    _make_stack: Callable[..., Stack] = Stack
    """Puts the layers together. ``snakemq.testing`` does it in memory."""

    def __init__(
        self,
        ident: str,
        *,
        storage: AnyStorage | None = None,
        inbox: InboxStorage | str | None = None,
        dead_letters: AnyStorage | None = None,
        authenticator: Authenticator | None = None,
        policy: Policy | None = None,
        queue_limits: QueueLimits | None = None,
        keepalive_interval: float | None = KEEPALIVE_INTERVAL,
        keepalive_wait: float = KEEPALIVE_WAIT,
        call_timeout: float | None = CALL_TIMEOUT,
        close_timeout: float = CLOSE_TIMEOUT,
        codecs: Iterable[Codec] = (),
    ) -> None:
        options = Options(
            ident,
            storage=storage,
            inbox=inbox,
            dead_letters=dead_letters,
            authenticator=authenticator,
            policy=policy,
            queue_limits=queue_limits,
            keepalive_interval=keepalive_interval,
            keepalive_wait=keepalive_wait,
            call_timeout=call_timeout,
            close_timeout=close_timeout,
            codecs=codecs,
        )
        options.check()
        self._stack = stack = self._make_stack(options)
        self._lock = threading.Lock()
        self._is_iterated = False
        weakref.finalize(self, _forgotten, stack, place_of_caller())

    # -- the layers, for everything else

    @property
    def ident(self) -> str:
        """The name of this peer."""
        return self._stack.messaging.identifier

    @property
    def link(self) -> Link:
        """The link. Its callbacks are called in the loop, and so are those of messaging."""
        return self._stack.link

    @property
    def messaging(self) -> Messaging:
        """The messaging. It has ``manual_ack``; its messages belong to this peer."""
        return self._stack.messaging

    # -- connections

    def listen(self, address: AnyAddress, *, tls: SSLConfig | None = None) -> str:
        """Let other peers connect.

        ``address``: ``"tcp://host:port"``, ``"tls://host:port"``, ``"unix:/path"``, or
        ``("host", port)``. An empty host means all IPv4 interfaces, and port 0 any free port.
        ``tls``: certificates and keys, for ``tls://``.

        Returns the address as a URL with the port, which :meth:`connect` of another peer takes.
        Raises ``TypeError`` and ``ValueError`` for the address, ``OSError`` if it is not free, or
        not ours, and what loading the files of ``tls`` raises.
        """
        place, config = parse(address, tls)
        stack = self._open()
        return to_url(stack.thread.call(lambda: stack.link.add_listener(place, config)), config)

    def connect(
        self,
        address: AnyAddress,
        *,
        tls: SSLConfig | None = None,
        ident: str | None = None,
        reconnect_interval: float | None = None,
    ) -> str:
        """Keep a connection to another peer: dial now, and again whenever the connection ends.

        This does not wait: see :meth:`wait_for`. Nor need you wait: what is sent meanwhile waits
        for the peer.

        ``address``, ``tls``: see :meth:`listen`. ``ident``: the only peer that may be there.
        ``reconnect_interval``: longest time between two attempts, in seconds.

        Returns the address as a URL. Raises ``TypeError`` and ``ValueError`` for a wrong address or
        one that is connected to already, and what loading the files of ``tls`` raises.
        """
        place, config = parse(address, tls)
        connector = self._open().link.add_connector(place, reconnect_interval, config, ident=ident)
        return to_url(connector, config)

    def reconnect_now(self, address: AnyAddress | None = None) -> None:
        """Dial at once wherever the next attempt to connect would have to wait, for example after a
        change of the network.

        Attempts that are under way and connections go on. ``address``: only this one, as
        :meth:`connect` has returned or was given it; ``None``: all. Raises ``KeyError`` if the
        peer does not connect to that address, and ``TypeError`` and ``ValueError`` for what is
        not an address.
        """
        place = None if address is None else place_of(address)
        self._open().link.reconnect_now(place)

    def wait_for(self, ident: str, timeout: float | None = None) -> Identity:
        """Wait until a peer is connected, and return who it is.

        ``timeout``: seconds; ``None``: forever. Raises ``TimeoutError`` if the time is over; its
        text says why connections failed.
        """
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        stack = self._open()
        stack.thread.check_not_in_loop("wait_for()")
        return stack.presence.wait_for(ident, timeout)

    def peers(self) -> dict[str, ConnectedPeer]:
        """Return the peers that are connected now, by their idents."""
        return self._stack.presence.connected()

    def stats(self) -> MessagingStats:
        """Return figures of all peers, see :class:`~snakemq.messaging.MessagingStats`."""
        return self._stack.messaging.stats()

    # -- sending

    def send(
        self,
        ident: str,
        data: Any,
        *,
        ttl: float | None = None,
        persistent: bool | None = None,
        codec: str | None = None,
        headers: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> Receipt:
        """Send a message to a peer. If the peer is away, the message waits for it.

        ``data``: bytes, or with ``codec``, an object that it encodes.
        ``ttl``: seconds that the message may wait; ``None``: any time; 0: it is for a peer that is
        connected now.
        ``persistent``: whether it is kept in the storage; ``None``: if there is a storage.
        ``codec``: ``"json"``, ``"text"``, or the name of one of your own. The header
        ``content-type`` tells the receiver.
        ``headers``: short texts, see :class:`~snakemq.message.Headers`.

        ``wait``: return only when a message that is to be kept is in the storage, so that it
        survives whatever happens to this process. ``False``, and any call in the loop's thread,
        waits for nothing.

        This does not wait for the peer. The receipt that it returns tells how far the message has
        come, and can wait for that: it is ``QUEUED`` when it is in the storage, and ``DELIVERED``
        when the peer has processed it. Only the receipt tells that there was no room for a message
        that is not to be kept. With ``wait=False`` that holds for every message, and for a storage
        that has failed: see :meth:`Messaging.post`.

        Raises ``TypeError`` and ``ValueError``, and what the codec raises. With ``wait``, also
        raises :exc:`~snakemq.exceptions.StorageError` and
        :exc:`~snakemq.exceptions.QueueFull` if a message that is to be kept is not accepted,
        :exc:`~snakemq.exceptions.LoopError` if the peer is closed meanwhile, and ``TimeoutError``
        if the storage has not answered for a minute; it may still take the message.
        """
        terms = Terms(ttl, persistent, codec, headers, wait)
        return self._open().outgoing.send(ident, data, terms)

    def broadcast(
        self,
        data: Any,
        *,
        to: Iterable[str] | None = None,
        ttl: float | None = None,
        persistent: bool | None = None,
        codec: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Receipt]:
        """Send a message to each of several peers, as :meth:`send` does.

        ``to``: their idents; ``None``: all that are connected now. Returns the receipts by
        ident.
        """
        if isinstance(to, str):
            raise TypeError("to is a list of idents, not one string")
        stack = self._open()
        idents = [*self.peers()] if to is None else list(dict.fromkeys(to))
        return stack.outgoing.broadcast(idents, data, Terms(ttl, persistent, codec, headers))

    # -- receiving

    def on_message(self, handler: H) -> H:
        """Have a function called with each :class:`ReceivedMessage`. To be used as a decorator.

        It is called in a thread of its own, one message at a time, so it may block and make remote
        calls. When it has returned, the message is acknowledged. If it raises, that is logged and
        the message is offered again later, up to 5 times in all; then it is rejected. It may raise
        :exc:`~snakemq.messaging.Retry` and :exc:`~snakemq.messaging.Reject` to decide that itself.

        Messages that came before are not lost: they have waited. Raises ``ValueError`` if there is
        a handler already, or :meth:`messages` is used.
        """
        check_callback(handler)
        stack = self._open()
        with self._lock:
            if stack.handler is not None or self._is_iterated:
                raise ValueError("messages go to one handler, or to messages(), and not to both")
            stack.handle(handler)
        return handler

    def messages(self, timeout: float | None = None) -> Messages:
        """Iterate over the received messages, those that wait here already first::

            for message in peer.messages():
                work(message)

        A message is acknowledged when the body of the loop has ended and the next one is asked for.
        If the body raises, it is offered again later, up to 5 times in all; then it is rejected.
        The same holds if the body is left by ``break`` or ``return``, because Python does not tell
        them apart. To stop after a message that was processed, call its
        :meth:`~ReceivedMessage.ack`, or have the loop in a ``with`` block::

            with peer.messages() as messages:
                for message in messages:
                    break

        The loop ends when the peer is closed, or when no message has come for ``timeout`` seconds.
        Several threads may iterate, each with an iterator of its own; each message goes to one.
        Raises ``ValueError`` if there is a handler.
        """
        stack = self._open()
        messages = Messages(stack.row, timeout)
        with self._lock:
            if stack.handler is not None:
                raise ValueError("messages go to the handler of on_message already")
            self._is_iterated = True
        return messages

    # -- remote calls

    def serve(self, name: str, instance: object, methods: Iterable[str] | None = None) -> None:
        """Let peers call the methods of an object, see
        :meth:`~snakemq.rpc.RpcServer.register_object`.

        Raises ``ImportError`` if the package ``snakemq-rpc`` is not installed.
        """
        stack = self._open()
        stack.thread.call(lambda: self._calls(stack).serve(name, instance, methods))

    def remote(self, ident: str, name: str, *, if_away: Literal["wait", "fail"] = "wait") -> Any:
        """Return a stand-in for the object that a peer serves under this name: an
        :class:`~snakemq.rpc.RpcInstProxy`. Its methods block until there is an answer.

        ``if_away``: what a call does while the peer is not connected. ``"wait"``: it waits for the
        peer, until its time is over. ``"fail"``: it raises :exc:`~snakemq.rpc.NotConnected` at
        once, and :exc:`~snakemq.rpc.PartialCall` as soon as the connection ends before the answer.

        Raises ``ImportError`` if the package ``snakemq-rpc`` is not installed, and ``ValueError``
        for another ``if_away``.
        """
        stack = self._open()
        return stack.thread.call(lambda: self._calls(stack).remote(ident, name, if_away))

    @staticmethod
    def _calls(stack: Stack) -> Calls:
        if stack.calls is None:
            try:
                from ._rpc import Calls
            except ModuleNotFoundError as error:
                raise ModuleNotFoundError(
                    "remote calls need the package snakemq-rpc: pip install 'snakemq-peer[rpc]'",
                    name=error.name,
                ) from error
            stack.calls = Calls(stack.messaging, stack.arrivals, stack.call_timeout)
        return stack.calls

    # -- the end

    def run(self) -> None:
        """Wait until the process is to end, by SIGTERM, Ctrl-C or :meth:`stop`, and close the peer.

        A second signal ends the waiting of :meth:`close`. Returns at once if the peer is closed.
        Raises :exc:`~snakemq.exceptions.LoopError` in another thread than the main one, to which
        signals go, and what :meth:`close` raises.
        """
        stack = self._stack
        if not stack.is_closed:
            _running.run(stack.ending, lambda: stack.close(stack.close_timeout), stack.hurry)

    def stop(self) -> None:
        """Let :meth:`run` end, as a signal does. If it is not running yet, it will end at once."""
        self._stack.ending.tell(_running.News.STOP)

    def close(self, timeout: float | None = None) -> None:
        """Deliver what can be delivered, and end everything, in this order:

        1. Loops over :meth:`messages` and the handler get no more messages. The one that the
           handler has may be finished, and so may remote methods that run or wait for a thread.
           Calls that come now are left to the next process.
        2. What was sent to peers that are connected may be acknowledged.
        3. The link and the storages are closed.

        The first two take ``timeout`` seconds together at most; ``None``: ``close_timeout``. What
        is in the storage then is sent by the next process. Without a storage it is lost, and a
        warning is logged.

        Idempotent. Raises :exc:`~snakemq.exceptions.LoopError` in the thread of the loop, or if a
        callback there blocks it, and :exc:`~snakemq.exceptions.StorageError`.
        """
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        self._stack.close(self._stack.close_timeout if timeout is None else timeout)

    def __enter__(self) -> Peer:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> Stack:
        self._stack.check_open()
        return self._stack

    def __repr__(self) -> str:
        return f"<Peer {self.ident!r}, {len(self.peers())} connected>"


def _forgotten(stack: Stack, place: str) -> None:
    """Close what nobody can close any more. Also called at the end of the process."""
    if stack.needs_no_close:
        return
    try:
        warnings.warn(
            f"the peer {stack.messaging.identifier!r}, made at {place}, was not closed:"
            " use 'with Peer(...)', run() or close()",
            ResourceWarning,
            stacklevel=2,
            source=stack,  # with tracemalloc, Python tells the calls that have led there
        )
    finally:  # warnings may be errors
        if stack.link.in_loop():  # its garbage collection has found the peer
            threading.Thread(target=stack.close, args=(0.0,), name="snakemq-close").start()
        else:
            stack.close(0.0)
