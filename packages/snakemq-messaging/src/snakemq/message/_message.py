from __future__ import annotations

import itertools
import os

FLAG_PERSISTENT = 0x1
"""Flag: keep the message in the queues storage until it is delivered."""

MAX_UUID_LENGTH = 16
"""Length of a message's uuid in bytes."""

MAX_TTL = 0xFFFFFFFE
"""The longest finite ttl in seconds; the wire format has 4 bytes and 0xffffffff is infinity."""

MAX_FLAGS = 0xFFFFFFFF


_USERS_UUID: set[str] = set()


class _UuidSource:
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


_uuids = _UuidSource()


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

    __module__ = "snakemq.message"
    __slots__ = ("_sent_to", "data", "flags", "ttl", "uuid")

    data: bytes
    ttl: float | None
    flags: int
    uuid: bytes

    def __init__(
        self, data: bytes, ttl: float | None = 0, flags: int = 0, uuid: bytes | None = None
    ) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"message data must be bytes, not {type(data).__name__}")
        if ttl is not None:
            if not isinstance(ttl, (int, float)):  # float() would convert a str
                raise TypeError(f"ttl must be a number or None, not {type(ttl).__name__}")
            if not 0 <= ttl <= MAX_TTL:  # NaN fails as well
                raise ValueError(f"ttl must be None or 0 to {MAX_TTL} seconds, not {ttl!r}")
            ttl = float(ttl)
        if not isinstance(flags, int):
            raise TypeError(f"flags must be an int, not {type(flags).__name__}")
        if not 0 <= flags <= MAX_FLAGS:
            raise ValueError(f"flags must fit into 32 bits, not {flags:#x}")
        # Peers that a message with a uuid of ours was sent to; with one of the user's it is his.
        self._sent_to: str | set[str] | None = None if uuid is None else _USERS_UUID
        if uuid is None:
            uuid = _uuids.prefix + next(_uuids.counter).to_bytes(6, "big")
        elif not isinstance(uuid, bytes):
            raise TypeError(f"uuid must be bytes, not {type(uuid).__name__}")
        elif len(uuid) != MAX_UUID_LENGTH:
            raise ValueError(f"uuid must be {MAX_UUID_LENGTH} bytes long, not {len(uuid)}")
        self.data = data
        self.ttl = ttl
        self.flags = flags
        self.uuid = uuid

    @classmethod
    def received(cls, data: bytes, ttl: float | None, flags: int, uuid: bytes) -> Message:
        """A message off the wire, whose fields have the right types and sizes already."""
        message = cls.__new__(cls)
        message.data = data
        message.ttl = ttl
        message.flags = flags
        message.uuid = uuid
        message._sent_to = _USERS_UUID
        return message

    def for_sending(self, ident: str) -> Message:
        """This message, or a copy with a uuid of its own if it was sent to that peer before.

        Not for users: :meth:`snakemq.messaging.Messaging.send_message` calls it.
        """
        sent_to = self._sent_to
        if sent_to is None:
            self._sent_to = ident
        elif sent_to is not _USERS_UUID:
            if isinstance(sent_to, str):
                self._sent_to = sent_to = {sent_to}
            if ident in sent_to:
                return Message(self.data, self.ttl, self.flags)
            sent_to.add(ident)
        return self

    def __repr__(self) -> str:
        return (
            f"<Message uuid={self.uuid.hex()} ttl={self.ttl!r} flags={self.flags:#x}"
            f" len={len(self.data)}>"
        )
