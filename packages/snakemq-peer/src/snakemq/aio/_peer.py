"""The front door for asyncio: one object that has all layers."""

from __future__ import annotations

import asyncio
import warnings
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Literal

from snakemq._settings import whole, zero_or_more
from snakemq.identity import Authenticator, Identity
from snakemq.link import Link, SSLConfig
from snakemq.messaging import Messaging, MessagingStats, QueueLimits, ReceiptState
from snakemq.peer import (
    CALL_TIMEOUT,
    CLOSE_TIMEOUT,
    KEEPALIVE_INTERVAL,
    KEEPALIVE_WAIT,
    Codec,
    ConnectedPeer,
)
from snakemq.peer._addresses import AnyAddress, parse, place_of, to_url
from snakemq.peer._layers import Layers
from snakemq.peer._options import Options
from snakemq.peer._place import place_of_caller
from snakemq.peer._sending import Terms
from snakemq.peer._storages import AnyStorage
from snakemq.policy import Policy
from snakemq.queues import InboxStorage

from . import _signals
from ._drivers import Driver, Guest, Host
from ._messages import Messages
from ._processing import process
from ._receipts import Receipt
from ._received import ReceivedMessage
from ._stack import Stack
from ._threads import in_thread


class Peer:
    """A named peer for asyncio: it listens and connects, sends and receives messages, and makes
    remote calls.

    Its names and arguments are those of :class:`snakemq.peer.Peer`. What waits is awaited here:
    :meth:`send`, :meth:`wait_for`, remote methods and the like. It lives in ``async with``, in one
    event loop, and once::

        async with Peer("alice") as peer:
            peer.connect("tcp://bob.example:4000")
            await peer.send("bob", b"hello")

    Everything may be cancelled, and nothing gets lost by that: see the methods. Its methods are for
    the tasks of its event loop, and not thread-safe. With ``own_thread``, :meth:`listen`,
    :meth:`serve` and :meth:`remote` wait for callbacks of the user in the loop of the link.

    ``own_thread``: the link runs in a thread of its own, so pings, acknowledgements and
    reconnections go on while your program keeps the event loop busy, and each message is handed
    over between threads. Otherwise, the default, the link is a guest of the event loop, which is
    faster; but a function that blocks the event loop for longer than ``keepalive_interval +
    keepalive_wait`` of the other side costs the connection. Event loops without ``add_reader``, as
    on Windows, always get a thread.

    The other arguments are explained there, and have the same defaults.
    """

    _make_layers: Callable[[Options], Layers] = Layers
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
        own_thread: bool = False,
    ) -> None:
        self._options = options = Options(
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
        self._own_thread = own_thread
        self._place = place_of_caller()
        self._was_entered = False
        self._stack: Stack | None = None
        self._is_stopped = False

    # -- the layers, for everything else

    @property
    def ident(self) -> str:
        """The name of this peer."""
        return self._options.ident

    @property
    def link(self) -> Link:
        """The link. Its callbacks are called in its loop, and so are those of messaging."""
        return self._entered().link

    @property
    def messaging(self) -> Messaging:
        """The messaging. It has ``manual_ack``; its messages belong to this peer."""
        return self._entered().messaging

    # -- connections

    def listen(self, address: AnyAddress, *, tls: SSLConfig | None = None) -> str:
        """Let other peers connect, see :meth:`snakemq.peer.Peer.listen`.

        Returns the address as a URL with the port. The host should be a number, as looking up a
        name blocks the loop of the link.
        """
        place, config = parse(address, tls)
        stack = self._open()
        found = stack.driver.call(lambda: stack.link.add_listener(place, config))
        return to_url(found, config)

    def connect(
        self,
        address: AnyAddress,
        *,
        tls: SSLConfig | None = None,
        ident: str | None = None,
        reconnect_interval: float | None = None,
    ) -> str:
        """Keep a connection to another peer, see :meth:`snakemq.peer.Peer.connect`. This does not
        wait for the peer."""
        place, config = parse(address, tls)
        link = self._open().link
        return to_url(link.add_connector(place, reconnect_interval, config, ident=ident), config)

    def reconnect_now(self, address: AnyAddress | None = None) -> None:
        """Dial at once wherever the next attempt to connect would have to wait, see
        :meth:`snakemq.peer.Peer.reconnect_now`."""
        place = None if address is None else place_of(address)
        self._open().link.reconnect_now(place)

    async def wait_for(self, ident: str, timeout: float | None = None) -> Identity:
        """Wait until a peer is connected, and return who it is.

        ``timeout``: seconds; ``None``: forever. Raises ``TimeoutError``, which says why no
        connection could be made, if anybody knows, and :exc:`PeerClosed`.
        """
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        return await self._open().wait_for(ident, timeout)

    def peers(self) -> dict[str, ConnectedPeer]:
        """Return the peers that are connected now, by their idents."""
        return self._entered().presence.connected()

    def stats(self) -> MessagingStats:
        """Return figures of all peers, see :class:`~snakemq.messaging.MessagingStats`."""
        return self._entered().messaging.stats()

    # -- sending

    async def send(
        self,
        ident: str,
        data: Any,
        *,
        ttl: float | None = None,
        persistent: bool | None = None,
        codec: str | None = None,
        headers: Mapping[str, str] | None = None,
        until: ReceiptState = ReceiptState.QUEUED,
    ) -> Receipt:
        """Send a message to a peer. If the peer is away, the message waits for it.

        The arguments are those of :meth:`snakemq.peer.Peer.send`. ``until``: how far the message
        has to come before this returns.

        - ``QUEUED``: a persistent message is in the storage, and survives whatever happens to this
          process. Any other one waits in memory.
        - ``SENT``: the operating system has taken it over.
        - ``DELIVERED``: the peer has processed it.

        If the queue of the peer is full, this waits for room. Limit the time with
        ``asyncio.timeout``. If it is cancelled, a persistent message may be in the storage, or come
        there soon, and then it is sent; any other one is sent unless the queue was full.

        Raises ``TypeError`` and ``ValueError``, what the codec raises,
        :exc:`~snakemq.exceptions.StorageError`, :exc:`~snakemq.exceptions.LoopError` if the peer is
        closed meanwhile, and, with ``SENT`` and ``DELIVERED``, :exc:`~snakemq.messaging.Dropped`
        and :exc:`~snakemq.messaging.Unconfirmed`.
        """
        if until not in (ReceiptState.QUEUED, ReceiptState.SENT, ReceiptState.DELIVERED):
            raise ValueError(f"wait until QUEUED, SENT or DELIVERED, not {until!r}")
        terms = Terms(ttl, persistent, codec, headers)
        return await self._open().outgoing.deliver(ident, data, terms, until)

    async def broadcast(
        self,
        data: Any,
        *,
        to: Iterable[str] | None = None,
        ttl: float | None = None,
        persistent: bool | None = None,
        codec: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Receipt]:
        """Send a message to each of several peers, and wait until each is queued, or refused.

        ``to``: their idents; ``None``: all that are connected now. Returns the receipts by ident;
        that of a full queue has failed, as this does not wait for room.
        """
        if isinstance(to, str):
            raise TypeError("to is a list of idents, not one string")
        stack = self._open()
        idents = [*self.peers()] if to is None else list(dict.fromkeys(to))
        terms = Terms(ttl, persistent, codec, headers)
        return await stack.outgoing.broadcast_to(idents, data, terms)

    # -- receiving

    def messages(self, timeout: float | None = None) -> Messages:
        """Iterate over the received messages, those that wait here already first::

            async for message in peer.messages():
                await work(message)

        A message is acknowledged when the body of the loop has ended and the next one is asked for.
        If the body raises, or is left by ``break`` or ``return``, it is offered again later, up to
        5 times in all; then it is rejected. If the body is cancelled, it is offered again, and that
        does not count. To stop after a message that was processed, call its
        :meth:`~ReceivedMessage.ack`, or have the loop in an ``async with`` block::

            async with peer.messages() as messages:
                async for message in messages:
                    break

        The loop ends when the peer is closed, or when no message has come for ``timeout`` seconds.
        Cancelled while it waits, it takes no message. Several tasks may iterate, each with an
        iterator of its own; each message goes to one. Do not give a message to another task without
        ``async with message`` there: see :class:`ReceivedMessage`.
        """
        return Messages(self._open().row, timeout)

    async def process(
        self,
        handler: Callable[[ReceivedMessage], Awaitable[object]],
        *,
        concurrency: int = 1,
        ordered: bool = True,
    ) -> None:
        """Call a handler with each received message, until the peer is closed or this is cancelled.

        ``concurrency``: how many messages are processed at once, each in a task of its own, in
        copies of the context of this task. ``ordered``: are messages of one sender processed one
        after another, in their order? Otherwise they overtake one another.

        When the handler has returned, the message is acknowledged. If it raises, that is logged and
        the message is offered again later, up to 5 times in all; then it is rejected. It may raise
        :exc:`~snakemq.messaging.Retry` and :exc:`~snakemq.messaging.Reject` to decide that itself.
        If this is cancelled, so are the handlers, and their messages are given back.

        Raises ``ValueError``, and ``TypeError`` for a handler that is not callable. If a handler
        returns nothing that can be awaited, its ``TypeError`` comes in an ``ExceptionGroup``.
        """
        whole(1)("concurrency", concurrency)
        if not callable(handler):
            raise TypeError(f"a handler is an async function, not {handler!r}")
        stack = self._open()
        await process(stack.row, handler, concurrency, ordered, stack.handlers)

    # -- remote calls

    def serve(self, name: str, instance: object, methods: Iterable[str] | None = None) -> None:
        """Let peers call the methods of an object, see
        :meth:`~snakemq.rpc.RpcServer.register_object`.

        ``async def`` methods run in the event loop, each in a task of its own, with a copy of the
        context of the first :meth:`serve` or :meth:`remote`; the others run in worker threads.

        Raises ``ImportError`` if the package ``snakemq-rpc`` is not installed.
        """
        stack = self._open()
        _prepare(stack)
        stack.driver.call(lambda: stack.get_calls().serve_async(name, instance, methods))

    def remote(self, ident: str, name: str, *, if_away: Literal["wait", "fail"] = "wait") -> Any:
        """Return a stand-in for the object that a peer serves under this name. Its methods are
        awaited, and have ``as_signal`` and ``set_timeout``, as those of
        :class:`~snakemq.rpc.RpcInstProxy`. This asks nobody.

        ``if_away``: what a call does while the peer is not connected. ``"wait"``: it waits for the
        peer, until its time is over. ``"fail"``: it raises :exc:`~snakemq.rpc.NotConnected` at
        once, and :exc:`~snakemq.rpc.PartialCall` as soon as the connection ends before the answer.

        Raises ``ImportError`` if the package ``snakemq-rpc`` is not installed, and ``ValueError``
        for another ``if_away``.
        """
        stack = self._open()
        _prepare(stack)
        proxy = stack.driver.call(lambda: stack.get_calls().remote(ident, name, if_away))
        from ._remote import RemoteObject

        return RemoteObject(proxy, stack.driver)

    # -- the end

    async def run(self) -> None:
        """Wait until the process is to end, by SIGTERM, Ctrl-C or :meth:`stop`, and close the peer.

        A second signal ends the waiting of :meth:`close`. Several peers may wait. A signal for
        which the program has set ``loop.add_signal_handler`` is left to it: call :meth:`stop`
        there. On Windows, where event loops do not handle signals, Ctrl-C cancels the main task, as
        always.

        Raises ``RuntimeError`` in another thread than the main one, to which signals go.
        """
        stack = self._open()
        if not self._is_stopped:
            _signals.listen(stack.loop, stack.on_signal)
            try:
                await asyncio.wait([stack.end_is_wanted])
            except BaseException:
                _signals.unlisten(stack.loop, stack.on_signal)
                raise
        await self.close()

    def stop(self) -> None:
        """Let :meth:`run` end, as a signal does. If it is not running yet, it will end at once."""
        self._is_stopped = True
        if self._stack is not None:
            self._stack.want_end()

    async def close(self, timeout: float | None = None) -> None:
        """Deliver what can be delivered, and end everything. The end of ``async with`` does it.

        1. Loops over :meth:`messages` end, and :meth:`process` begins nothing any more.
        2. The handlers and the methods that run may end, and what was sent to peers that are
           connected may be acknowledged.
        3. The handlers and methods that still run are cancelled, and the link and the storages are
           closed.

        The second takes ``timeout`` seconds at most; ``None``: ``close_timeout``. It ends at once
        when this is cancelled; the third takes up to 5 seconds, if a storage hangs, and is
        finished all the same. A handler or a method that calls this does not wait for itself.
        Idempotent.
        """
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        if self._stack is not None:
            limit = self._options.close_timeout if timeout is None else timeout
            await self._stack.close(limit)

    async def __aenter__(self) -> Peer:
        if self._was_entered:
            raise RuntimeError("a peer can be entered once; make a new one")
        self._was_entered = True
        loop = asyncio.get_running_loop()
        # The thread does not keep this peer alive.
        options, make_layers = self._options, self._make_layers
        made: list[Layers] = []
        try:
            # Opening a storage may block.
            await in_thread(loop, lambda: made.append(make_layers(options)))
            self._stack = Stack(made[0], options, self._make_driver, loop)
            self._stack.driver.start()
        except BaseException:
            self._stack = None
            if made:
                await in_thread(loop, made[0].discard)
            raise
        weakref.finalize(self, _forgotten, self._stack, self._place)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _make_driver(self, link: Link, loop: asyncio.AbstractEventLoop) -> Driver:
        if not self._own_thread and _can_be_host(loop, link):
            return Guest(link, loop)
        return Host(link, loop, f"snakemq-{self.ident}")

    def _entered(self) -> Stack:
        if self._stack is None:
            raise RuntimeError(f"enter the peer first: async with Peer({self.ident!r}) as peer")
        return self._stack

    def _open(self) -> Stack:
        stack = self._entered()
        stack.check_open()
        return stack

    def __repr__(self) -> str:
        if self._stack is None:
            return f"<Peer {self.ident!r}, not entered>"
        return f"<Peer {self.ident!r}, {len(self.peers())} connected>"


def _can_be_host(loop: asyncio.AbstractEventLoop, link: Link) -> bool:
    """Can this event loop watch the file descriptor of a link?"""
    try:
        link.fileno()
    except OSError:
        return False
    return type(loop).add_reader is not asyncio.AbstractEventLoop.add_reader


def _prepare(stack: Stack) -> None:
    try:
        stack.prepare_calls()
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "remote calls need the package snakemq-rpc: pip install 'snakemq-peer[rpc]'",
            name=error.name,
        ) from error


def _forgotten(stack: Stack, place: str) -> None:
    """Close what nobody can close any more. Also called at the end of the process."""
    if stack.needs_no_close:
        return
    try:
        warnings.warn(
            f"the peer {stack.messaging.identifier!r}, made at {place}, was not closed:"
            " use 'async with Peer(...)'",
            ResourceWarning,
            stacklevel=2,
            source=stack,  # with tracemalloc, Python tells the calls that have led there
        )
    finally:  # warnings may be errors
        stack.abandon()
