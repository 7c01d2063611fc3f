"""What the stack does with messages, and users do not.

Functions rather than methods, so that a message shows its users only what is for them.
"""

from __future__ import annotations

from ._headers import NO_HEADERS, Headers
from ._message import Message


def received(
    data: bytes, ttl: float | None, flags: int, uuid: bytes, headers: Headers = NO_HEADERS
) -> Message:
    """Return a message that came off the wire; its fields have the right types and sizes."""
    message = Message.__new__(Message)
    message.data = data
    message.ttl = ttl
    message.flags = flags
    message.uuid = uuid
    message.fixed_headers = headers
    message.unclaimed = True
    message.sent_to = None
    return message


def size_of(message: Message) -> int:
    """Return the bytes by which a message counts for windows and limits: data and headers."""
    return len(message.data) + message.fixed_headers.size


def claim(message: Message, ident: str) -> Message:
    """Return the message for a peer's queue, or a copy if it was in a queue before.

    A copy for a peer that the message was sent to before gets a new uuid, unless the user gave
    the uuid. Thread-safe.
    """
    sent_to = message.sent_to
    try:
        del message.unclaimed  # atomic: if two threads send the same object, one gets it
    except AttributeError:
        return _copy_for(message, ident, sent_to)
    if sent_to is not None:
        message.sent_to = ident
    # copy of size_of(), whose call would take 2 % of sending a message
    headers = message.fixed_headers
    message.queued_size = len(message.data) + (0 if headers is NO_HEADERS else headers.size)
    return message


def give_back(message: Message) -> None:
    """Let a message that was claimed, but not queued after all, be sent as if it were new."""
    if message.sent_to is not None:
        message.sent_to = ""
    message.unclaimed = True


def _copy_for(message: Message, ident: str, sent_to: str | set[str] | None) -> Message:
    uuid: bytes | None = message.uuid
    if sent_to is not None:
        if isinstance(sent_to, str):
            message.sent_to = sent_to = {sent_to}
        if ident in sent_to:
            uuid = None
        else:
            sent_to.add(ident)
    copy = Message(message.data, message.ttl, message.flags, uuid, message.fixed_headers)
    del copy.unclaimed
    copy.queued_size = size_of(copy)
    return copy
