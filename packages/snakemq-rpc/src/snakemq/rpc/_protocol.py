"""Describes the dicts on the wire, and checks received ones.

A request is ``rpcreq`` and a pickled :class:`Request`, a reply is ``rpcrep`` and a pickled
:class:`Reply`. Prefixes, keys and the names of the exceptions are those of snakeMQ 1.6, which
ignores additional keys, and dies of classes that it does not know.
"""

import pickle
import struct
from typing import Any, NotRequired, TypedDict, TypeGuard, cast

from snakemq.exceptions import (
    LoopError,
    QueueFull,
    SnakeMQBrokenMessage,
    SnakeMQMessageTooLarge,
    StorageError,
)

from ._errors import (
    REMOTE_TRACEBACK_ATTR,
    CallError,
    NoInstanceError,
    NoMethodError,
    NotAllowed,
    RemoteError,
    ServerBusy,
)
from ._pickling._builder import StandIn, display_name
from ._pickling._pickler import names_in

REQUEST_PREFIX = b"rpcreq"
REPLY_PREFIX = b"rpcrep"

ANSWERS_REFUSED = 0x10000
"""Feature bit of messaging: the peer has an ``RpcServer`` that answers what it cannot decode."""

MAX_REQ_ID_LENGTH = 64
"""In bytes. Every known client uses 16; a limit, because a server has to remember the id."""

_MAX_TEXT = 10_000

_KNOWN_TO_16 = frozenset(
    f"snakemq.rpc.{name}"
    for name in (
        "CallError",
        "Error",
        "NoInstanceError",
        "NoMethodError",
        "NotConnected",
        "PartialCall",
        "SignalCallWarning",
    )
) | frozenset(
    f"snakemq.exceptions.{name}"
    for name in (
        "NoConnection",
        "SendNotFinished",
        "SnakeMQBrokenFormat",
        "SnakeMQBrokenMessage",
        "SnakeMQBrokenPacket",
        "SnakeMQException",
        "SnakeMQIncompatibleProtocol",
        "SnakeMQNoIdent",
        "SnakeMQUnknownRoute",
    )
)


class Request(TypedDict):
    """A call or a signal, as a client asks for it."""

    command: str
    """``"call"``, or ``"signal"`` which has no reply."""
    object: str
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    req_id: NotRequired[bytes]
    """Names the call, also when it is repeated. A signal has none. We write it first, so that it
    can be read even when the rest cannot."""
    timeout: NotRequired[float]
    """How many seconds the caller was still going to wait when it sent this; left out if forever.
    1.6 and 2.0.0 do not know it."""


# "return" is a keyword, so this one cannot be written as a class.
Reply = TypedDict(
    "Reply",
    {
        "req_id": bytes,
        "ok": bool,
        "return": NotRequired[Any],
        "exception": NotRequired[Any],
        "exception_format": NotRequired[str],  # the traceback of the server, or ""
        # Not known to 1.6: what the exception is, if it is not sent as "exception" or cannot be
        # decoded; and its own pickle, for clients that know a class
        # that others do not.
        "exception_type": NotRequired[str],
        "exception_message": NotRequired[str],
        "exception_pickle": NotRequired[bytes],
        # Nor is this: the server refused the request because it is busy, nothing was executed.
        "busy": NotRequired[bool],
        # Nor is this: the server refused the request because the peer may not call the method.
        "denied": NotRequired[bool],
    },
)


def is_req_id(value: object) -> TypeGuard[bytes]:
    return type(value) is bytes and 0 < len(value) <= MAX_REQ_ID_LENGTH


def check_request(data: object) -> Request:
    """Return the data if it is a request; otherwise raise ``SnakeMQBrokenMessage``."""
    if type(data) is not dict:
        raise SnakeMQBrokenMessage(f"a request is a dict, not a {type(data).__name__}")
    get = data.get
    command = get("command")
    if command == "call":
        if not is_req_id(get("req_id")):
            raise SnakeMQBrokenMessage("a call without a valid req_id")
    elif command != "signal":
        raise SnakeMQBrokenMessage("an unknown RPC command")
    if (
        type(get("object")) is not str
        or type(get("method")) is not str
        or type(get("args")) is not tuple
        or type(get("kwargs")) is not dict
    ):
        raise SnakeMQBrokenMessage("a request with a missing or wrong object, method or argument")
    return cast("Request", data)


def check_reply(data: object) -> Reply:
    """Return the data if it is a reply; otherwise raise ``SnakeMQBrokenMessage``."""
    if type(data) is not dict:
        raise SnakeMQBrokenMessage(f"a reply is a dict, not a {type(data).__name__}")
    if not is_req_id(data.get("req_id")):
        raise SnakeMQBrokenMessage("a reply without a valid req_id")
    ok = data.get("ok")
    if ok is True:
        if "return" not in data:
            raise SnakeMQBrokenMessage("a reply without a result")
    elif ok is not False or not isinstance(data.get("exception"), (BaseException, StandIn)):
        raise SnakeMQBrokenMessage("a reply with neither a result nor an exception")
    return cast("Reply", data)


_OF_ONE_CALL = (
    CallError,
    ServerBusy,
    NotAllowed,
    QueueFull,
    SnakeMQMessageTooLarge,
    StorageError,
    LoopError,
)


def is_of_another_call(exc: BaseException) -> bool:
    """Is this exception of a method about a call or message that the method made itself?

    ``NotConnected`` from a called method does not mean that the method was not executed. A caller
    that mistakes it for the outcome of its own call, and tries again, executes it twice.
    """
    if isinstance(exc, _OF_ONE_CALL):
        return not isinstance(exc, RemoteError)  # which is never about the call itself
    # The method called a third peer, which lacks the object. Our own error has no such attribute.
    return isinstance(exc, (NoInstanceError, NoMethodError)) and REMOTE_TRACEBACK_ATTR in vars(exc)


def type_name(exc: BaseException) -> str:
    """Return a readable name of the class of an exception, like ``"shop.OutOfStock"``."""
    cls = type(exc)
    return display_name(cls.__module__, cls.__qualname__)


def text_of(exc: BaseException) -> str:
    """Return ``str(exc)``, cut to a limit, even if the exception fails to make it."""
    try:
        text = str(exc)
    except Exception as failure:
        return f"<no text: {type_name(failure)}>"
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "..."


def text_of_args(args: tuple[object, ...]) -> str:
    """Return roughly what ``str()`` of an exception with these arguments gives.

    For arguments from a peer: shows only simple ones, and the type of the others, whose text may be
    longer than any memory.
    """
    return ", ".join(map(_text_of_arg, args))[:_MAX_TEXT]


def _text_of_arg(arg: object) -> str:
    if isinstance(arg, int) and arg.bit_length() > 1000:
        return "int"
    if isinstance(arg, (str, int, float, type(None))):
        return str(arg)
    return type(arg).__name__


_TIMEOUT_KEY = b"\x8c\x07timeout\x94G"  # and the eight bytes of a float, in pickle protocol 4
_TIMEOUT_END = 100
_pack_float = struct.Struct(">d").pack


def with_timeout(request: bytes, seconds: float) -> bytes:
    """Return an encoded request with another time.

    It is not encoded again, because the caller may have changed the arguments since. A request
    written by a pickler of the user stays as it is.
    """
    at = request.find(_TIMEOUT_KEY, 0, _TIMEOUT_END) + len(_TIMEOUT_KEY)
    if at < len(_TIMEOUT_KEY):
        return request
    return request[:at] + _pack_float(seconds) + request[at + 8 :]


def kills_16(pickled: bytes) -> bool:
    """Does a pickle name a class of snakeMQ that a peer of 1.6 does not know?"""
    if b"snakemq" not in pickled:  # 0.1 µs, for nearly all of them
        return False
    try:
        names = names_in(pickled)
    except pickle.UnpicklingError:
        return False  # not written by pickle
    return any(name.startswith("snakemq.") for name in names - _KNOWN_TO_16)
