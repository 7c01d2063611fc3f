from __future__ import annotations

import itertools
import os

FLAG_PERSISTENT = 0x1
"""Flag: keep the message in the queues storage until it is delivered."""

MAX_UUID_LENGTH = 16
"""Length of a message's uuid in bytes."""

MAX_TTL = 0xFFFFFFFE
"""The longest finite ttl in seconds; the wire format has 4 bytes and 0xffffffff is infinity."""

_MAX_TTL = float(MAX_TTL)

MAX_FLAGS = 0xFFFFFFFF


class _Uuids:
    """Unique ids from one random prefix and a counter: a tenth of the cost of ``uuid.uuid4()``.

    The prefix is drawn again after a fork, otherwise parent and child would hand out the same.
    """

    def __init__(self) -> None:
        self.reseed()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.reseed)

    def reseed(self) -> None:
        self.prefix = os.urandom(10)
        self.counter = itertools.count(int.from_bytes(os.urandom(5), "big"))


_uuids = _Uuids()


def new_uuid() -> bytes:
    """Return 16 bytes that no other call returns, in any process. Thread-safe.

    Messages and the requests of RPC are named by these.
    """
    return _uuids.prefix + next(_uuids.counter).to_bytes(6, "big")


class Message:
    """One message: bytes with an id, a time to live and flags.

    ``data``: the payload.

    ``ttl``: time to live in seconds, whole or fractional. 0 (the default): deliver only if
    the peer is connected now. ``None``: no limit. It counts from ``send_message`` on.

    ``flags``: combination of ``FLAG_*``, 32 bits. They travel with the message.

    ``uuid``: 16 bytes that identify the message; made when not given.

    Raises ``TypeError`` and ``ValueError`` for what cannot be put on the wire as it is: nothing
    is cut or converted silently.
    """

    # The names with an underscore belong to the stack. The queue that a message is in keeps what it
    # knows of it here and not in an object of its own: that would cost 0.4 of the 2.5 us that
    # sending a message takes.
    __slots__ = (
        "_place",
        "_position",
        "_queued_at",
        "_sent_to",
        "_unclaimed",
        "data",
        "flags",
        "ttl",
        "uuid",
    )

    data: bytes
    ttl: float | None
    flags: int
    uuid: bytes
    _unclaimed: bool
    """There until :meth:`claimed_for` takes it away."""
    _sent_to: str | set[str] | None
    """Peers that a message with a uuid of ours was sent to; ``None`` if the uuid is the user's."""
    _queued_at: float
    """When it was sent, on the clock of the link."""
    _position: int | None
    """Its place in the storage; ``None``: it is not there."""
    _place: int

    def __init__(
        self, data: bytes, ttl: float | None = 0, flags: int = 0, uuid: bytes | None = None
    ) -> None:
        # Exact types first, they are rarely others; measured: 0.5 instead of 0.6 us for all.
        if data.__class__ is not bytes and not isinstance(data, bytes):
            raise TypeError(f"message data must be bytes, not {type(data).__name__}")
        if ttl is not None:
            if ttl.__class__ is not float:
                # float() would convert a str
                if ttl.__class__ is not int and not isinstance(ttl, (int, float)):
                    raise TypeError(f"ttl must be a number or None, not {type(ttl).__name__}")
                try:
                    ttl = float(ttl)
                except OverflowError:
                    raise _bad_ttl(ttl) from None
            # Floats only: an int among them doubles the time. NaN fails as well.
            if not 0.0 <= ttl <= _MAX_TTL:
                raise _bad_ttl(ttl)
        if flags:
            if not isinstance(flags, int):
                raise TypeError(f"flags must be an int, not {type(flags).__name__}")
            if not 0 <= flags <= MAX_FLAGS:
                raise ValueError(f"flags must fit into 32 bits, not {flags:#x}")
        elif flags.__class__ is not int:
            raise TypeError(f"flags must be an int, not {type(flags).__name__}")
        self.data = data
        self.ttl = ttl
        self.flags = flags
        self._unclaimed = True
        if uuid is None:
            # copy of new_uuid(), whose call would take 0.03 of the 0.51 µs that a Message() takes
            self.uuid = _uuids.prefix + next(_uuids.counter).to_bytes(6, "big")
            self._sent_to = ""
            return
        if not isinstance(uuid, bytes):
            raise TypeError(f"uuid must be bytes, not {type(uuid).__name__}")
        if len(uuid) != MAX_UUID_LENGTH:
            raise ValueError(f"uuid must be {MAX_UUID_LENGTH} bytes long, not {len(uuid)}")
        self.uuid = uuid
        self._sent_to = None

    @classmethod
    def received(cls, data: bytes, ttl: float | None, flags: int, uuid: bytes) -> Message:
        """A message off the wire, whose fields have the right types and sizes already."""
        message = cls.__new__(cls)
        message.data = data
        message.ttl = ttl
        message.flags = flags
        message.uuid = uuid
        message._unclaimed = True
        message._sent_to = None
        return message

    def claimed_for(self, ident: str) -> Message:
        """This message, for the queue of a peer; or a copy, if it is or was in a queue already.

        A copy for a peer that the message was sent to before has a uuid of its own, unless its
        uuid is the user's. Thread-safe. Not for users:
        :meth:`snakemq.messaging.Messaging.send_message` calls it.
        """
        sent_to = self._sent_to
        try:
            del self._unclaimed  # atomic: of two threads that send one object, one gets it
        except AttributeError:
            return self._copy_for(ident, sent_to)
        if sent_to is not None:
            self._sent_to = ident
        return self

    def give_back(self) -> None:
        """It was claimed, and has not been queued after all: it can be sent as if it were new."""
        if self._sent_to is not None:
            self._sent_to = ""
        self._unclaimed = True

    def _copy_for(self, ident: str, sent_to: str | set[str] | None) -> Message:
        uuid: bytes | None = self.uuid
        if sent_to is not None:
            if isinstance(sent_to, str):
                self._sent_to = sent_to = {sent_to}
            if ident in sent_to:
                uuid = None
            else:
                sent_to.add(ident)
        copy = Message(self.data, self.ttl, self.flags, uuid)
        del copy._unclaimed
        return copy

    def __repr__(self) -> str:
        return (
            f"<Message uuid={self.uuid.hex()} ttl={self.ttl!r} flags={self.flags:#x}"
            f" len={len(self.data)}>"
        )


def _bad_ttl(ttl: float) -> ValueError:
    return ValueError(f"ttl must be None or 0 to {MAX_TTL} seconds, not {ttl!r}")
