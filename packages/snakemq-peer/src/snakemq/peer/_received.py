"""Received messages, and their settlement."""

import threading
from collections.abc import Callable, Mapping
from enum import Enum, auto
from types import TracebackType
from typing import Any, NamedTuple, Self

from snakemq.exceptions import LoopError
from snakemq.identity import Identity
from snakemq.message import Headers, Message
from snakemq.messaging import Messaging, Receipt, Reject, Retry

from ._codecs import CONTENT_TYPE, Codecs
from ._sending import Outgoing, Terms


class Custody(Enum):
    """What settles a message."""

    LENT = auto()
    """The loop or the handler that has it, when its turn ends."""
    TAKEN = auto()
    """A ``with`` block, when it ends."""
    SETTLED = auto()
    """Nobody any more."""


class Desk(NamedTuple):
    """What a received message needs of its peer."""

    messaging: Messaging
    outgoing: Outgoing
    codecs: Codecs


class Received:
    """A message that has arrived, as far as it is the same with threads and with asyncio."""

    __slots__ = ("_custody", "_desk", "_lock", "raw", "sender")

    def __init__(self, raw: Message, sender: Identity, desk: Desk) -> None:
        #: The message as messaging has it.
        self.raw: Message = raw
        #: The peer that has sent it, and how that was proven when it came.
        self.sender: Identity = sender
        self._desk = desk
        self._custody = Custody.LENT
        self._lock = threading.Lock()

    # -- what is in it

    @property
    def data(self) -> bytes:
        """The data as they were sent."""
        return self.raw.data

    @property
    def headers(self) -> Headers:
        """The headers, see :attr:`snakemq.message.Message.headers`."""
        return self.raw.headers

    @property
    def uuid(self) -> bytes:
        """The 16 bytes that identify it, the same each time it comes."""
        return self.raw.uuid

    @property
    def attempts(self) -> int:
        """The number of this attempt: 1 when it is offered for the first time."""
        return self.raw.attempts

    @property
    def content_type(self) -> str | None:
        """What its sender says that the data are; ``None`` if it does not say."""
        return self.raw.headers.get(CONTENT_TYPE)

    @property
    def content(self) -> Any:
        """The object that the data stand for, according to :attr:`content_type`. If no codec of
        this peer has that type, it is the data themselves. Decoded each time.

        Raises :exc:`CannotDecode` if the data are not what the type says.
        """
        return self._desk.codecs.decode(self.raw.data, self.content_type)

    # -- what to do with it

    def ack(self) -> None:
        """Say that it is processed. Raises ``ValueError`` if it is settled already."""
        self._settle_now(lambda: self._desk.messaging.ack(self.raw))

    def retry(self, delay: float | None = None) -> None:
        """Have it offered again after ``delay`` seconds, see :meth:`Messaging.retry`."""
        self._settle_now(lambda: self._desk.messaging.retry(self.raw, delay))

    def release(self) -> None:
        """Give it back as if it had not been offered, see :meth:`Messaging.release`."""
        self._settle_now(lambda: self._desk.messaging.release(self.raw))

    def reject(self, reason: str = "") -> None:
        """Give it up for good, see :meth:`Messaging.reject`."""
        self._settle_now(lambda: self._desk.messaging.reject(self.raw, reason))

    def take_over(self) -> None:
        """Have a block settle it that ends with :meth:`block_ends`. Raises ``ValueError`` if it is
        settled, or taken over, already."""
        with self._lock:
            if self._custody is not Custody.LENT:
                raise self._too_late()
            self._custody = Custody.TAKEN

    def block_ends(self, error: BaseException | None) -> None:
        """Settle it at the end of the block that has taken it over."""
        self._settle_after(error, Custody.TAKEN)

    def turn_ends(self, error: BaseException | None) -> None:
        """Settle it if nobody else has, or will. For the loop or the handler that had it.

        ``error``: what has ended the turn; ``None``: it is processed.
        """
        self._settle_after(error, Custody.LENT)

    def _settle_after(self, error: BaseException | None, custody: Custody) -> None:
        with self._lock:
            if self._custody is not custody:
                return
            self._custody = Custody.SETTLED
        messaging = self._desk.messaging
        try:
            if error is None:
                messaging.ack(self.raw)
            elif isinstance(error, Reject):
                messaging.reject(self.raw, error.reason)
            elif isinstance(error, Retry):
                messaging.retry(self.raw, error.delay)
            elif isinstance(error, Exception):
                messaging.retry(self.raw)
            else:  # Ctrl-C, or the end of the process, is not the fault of the message
                messaging.release(self.raw)
        except (ValueError, LoopError):
            # It was settled behind our back, through messaging; or this process was forked. What is
            # not acknowledged comes again, so nothing is lost.
            pass

    def _settle_now(self, settle: Callable[[], None]) -> None:
        with self._lock:
            if self._custody is Custody.SETTLED:
                raise self._too_late()
            settle()
            self._custody = Custody.SETTLED

    def _too_late(self) -> ValueError:
        if self._custody is Custody.TAKEN:
            return ValueError(f"{self!r} is in the hands of another 'with' block")
        return ValueError(
            f"{self!r} is settled already: a handler and a loop settle a message when they are done"
            " with it, unless 'with message:' has taken it over before"
        )

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.raw.uuid.hex()} from {self.sender.ident!r},"
            f" {len(self.raw.data)} bytes>"
        )


class ReceivedMessage(Received):
    """A message that has arrived. Its sender keeps it until it is *settled*.

    A handler settles its messages by itself, and so does a loop over :meth:`Peer.messages`: what
    is processed is acknowledged, and what raises is retried. To decide otherwise, call one of
    :meth:`ack`, :meth:`retry`, :meth:`release` and :meth:`reject`, from any thread and once.

    To give a message to another thread or to keep it for later, use it as a context manager there::

        with message:       # acknowledged when the block ends, retried if it raises
            work(message)

    Enter it before the handler has returned, or the body of the loop has ended: these settle
    messages that nobody has taken over.
    """

    __slots__ = ()

    def reply(
        self,
        data: Any,
        *,
        ttl: float | None = None,
        persistent: bool | None = None,
        codec: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Receipt:
        """Send a message to the sender of this one, as :meth:`Peer.send` does. To settle this one
        is another matter."""
        terms = Terms(ttl, persistent, codec, headers)
        return self._desk.outgoing.send(self.sender.ident, data, terms)

    def __enter__(self) -> Self:
        """Take it over. Raises ``ValueError`` if it is settled, or taken over, already."""
        self.take_over()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.block_ends(error)
