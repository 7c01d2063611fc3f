from __future__ import annotations

import enum
import itertools
import os
from collections.abc import Mapping

from ._custody import Custody
from ._headers import NO_HEADERS, Headers, headers_of


class MessageFlags(enum.IntFlag):
    """The bits of :attr:`Message.flags` that snakeMQ knows; other bits travel unchanged."""

    PERSISTENT = 0x1
    """Keep the message in the queues storage until it is delivered."""


FLAG_PERSISTENT: int = MessageFlags.PERSISTENT.value
"""The name that snakeMQ 1.6 has for :attr:`MessageFlags.PERSISTENT`. It is a plain int, because
``&`` takes 1.4 µs with a member of the enum, and less than 0.1 µs with an int."""

MAX_UUID_LENGTH = 16
"""Length of a message's uuid in bytes."""

MAX_TTL = 0xFFFFFFFE
"""The longest finite ttl in seconds. The wire format has 4 bytes; 0xffffffff means no limit."""

_MAX_TTL = float(MAX_TTL)

MAX_FLAGS = 0xFFFFFFFF


class _Uuids:
    """Makes unique ids from a random prefix and a counter: a tenth of the cost of ``uuid.uuid4()``.

    A fork draws a new prefix; otherwise parent and child would hand out the same ids.
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

    They identify messages and RPC requests.
    """
    return _uuids.prefix + next(_uuids.counter).to_bytes(6, "big")


class Message(Custody):
    """One message: bytes with an id, a time to live, flags and headers.

    ``data``: the payload.

    ``ttl``: time to live in seconds, whole or fractional. 0 (the default): deliver only if
    the peer is connected now. ``None``: no limit. The time counts from ``send_message``.

    ``flags``: :class:`MessageFlags`, or any other 32 bits. They travel with the message.

    ``uuid``: 16 bytes that identify the message; generated if not given.

    ``headers``: see :attr:`headers`. ``None`` and an empty mapping mean that it has none.

    Raises ``TypeError`` and ``ValueError`` for anything that cannot go on the wire unchanged:
    nothing is cut or converted silently.
    """

    __slots__ = ("data", "flags", "ttl", "uuid")

    data: bytes
    ttl: float | None
    flags: int
    uuid: bytes

    def __init__(
        self,
        data: bytes,
        ttl: float | None = 0,
        flags: int = 0,
        uuid: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"message data must be bytes, not {type(data).__name__}")
        if ttl is not None:
            if not isinstance(ttl, (int, float)):  # float() would convert a str
                raise TypeError(f"ttl must be a number or None, not {type(ttl).__name__}")
            try:
                ttl = float(ttl)
            except OverflowError:
                raise _bad_ttl(ttl) from None
            # Floats: int limits would cost 0.05 of the 0.6 µs of a Message(). NaN fails, too.
            if not 0.0 <= ttl <= _MAX_TTL:
                raise _bad_ttl(ttl)
        if flags.__class__ is not int:
            if not isinstance(flags, int):
                raise TypeError(f"flags must be an int, not {type(flags).__name__}")
            flags = int(flags)  # see FLAG_PERSISTENT
        if flags and not 0 <= flags <= MAX_FLAGS:
            raise ValueError(f"flags must fit into 32 bits, not {flags:#x}")
        self.data = data
        self.ttl = ttl
        self.flags = flags
        self.fixed_headers: Headers = NO_HEADERS if headers is None else headers_of(headers)
        self.unclaimed: bool = True
        self.sent_to: str | set[str] | None
        if uuid is None:
            # copy of new_uuid(), whose call would take 0.03 of the 0.51 µs that a Message() takes
            self.uuid = _uuids.prefix + next(_uuids.counter).to_bytes(6, "big")
            self.sent_to = ""
            return
        if not isinstance(uuid, bytes):
            raise TypeError(f"uuid must be bytes, not {type(uuid).__name__}")
        if len(uuid) != MAX_UUID_LENGTH:
            raise ValueError(f"uuid must be {MAX_UUID_LENGTH} bytes long, not {len(uuid)}")
        self.uuid = uuid
        self.sent_to = None

    @property
    def headers(self) -> Headers:
        """Short texts beside the data, such as a content type: a mapping that cannot be changed,
        empty if there are none. See :class:`Headers` for what it may contain.

        They travel with the message and are stored with it. Peers before 2.1 get the message
        without them.
        """
        return self.fixed_headers

    @property
    def attempts(self) -> int:
        """The number of this attempt at a received message: 1 when it is offered for the first
        time, and one more after each offer that failed or was to be retried."""
        try:
            return 1 + self.failures
        except AttributeError:  # an attribute of each message would cost all of them
            return 1

    def __repr__(self) -> str:
        # No header is shown: like the data, they may be secret.
        headers = f" headers={len(self.headers)}" if self.headers else ""
        return (
            f"<Message uuid={self.uuid.hex()} ttl={self.ttl!r} flags={self.flags:#x}"
            f" len={len(self.data)}{headers}>"
        )


def _bad_ttl(ttl: float) -> ValueError:
    return ValueError(f"ttl must be None or 0 to {MAX_TTL} seconds, not {ttl!r}")
