"""Decides what a reply means for the caller."""

import contextlib
from typing import Any, TypeAlias

from snakemq.exceptions import SnakeMQBrokenMessage

from .._errors import (
    REMOTE_TRACEBACK_ATTR,
    Error,
    NotAllowed,
    RemoteError,
    ServerBusy,
    UnregisteredClass,
)
from .._pickling._builder import StandIn
from .._pickling._pickler import Pickler, loads_inert
from .._protocol import Reply, check_reply, is_of_another_call, text_of, text_of_args, type_name
from .._salvage import find_req_id

Outcome: TypeAlias = tuple[bytes, Any, Exception | None]
"""The id of the request, and a result or an exception. A class with names for the three would cost
each call 1 µs more."""


def read_reply(pickler: Pickler, body: bytes) -> Outcome:
    """Return the outcome in a reply, which is a :exc:`RemoteError` if it cannot be decoded.

    Raises ``SnakeMQBrokenMessage`` if the reply does not even say which call it ends.
    """
    try:
        reply = check_reply(pickler.loads(body))
    except KeyboardInterrupt:
        raise  # of the user
    except BaseException as exc:  # a registered class may raise anything
        return _read_inert(body, exc)
    if reply["ok"]:
        return reply["req_id"], reply["return"], None
    return reply["req_id"], None, _error(pickler, reply)


def _error(pickler: Pickler, reply: Reply) -> Exception:
    exc = reply["exception"]
    with contextlib.suppress(Exception, SystemExit):  # missing, or unknown here
        better = pickler.loads(reply["exception_pickle"])
        exc = better if isinstance(better, Exception) else exc
    traceback = _text(reply, "exception_format")
    name = _text(reply, "exception_type")
    if type(exc) is Error and reply.get("busy") is True:
        return ServerBusy(*exc.args)
    if type(exc) is Error and reply.get("denied") is True:
        return NotAllowed(*exc.args)
    if not isinstance(exc, Exception) or is_of_another_call(exc):
        # Not an Exception: SystemExit, for example, from a pickler that trusts.
        return RemoteError(type_name(exc), text_of(exc), traceback)
    if type(exc) is Error and name and name != type_name(exc):
        return RemoteError(name, _text(reply, "exception_message"), traceback)
    # Not with setattr(), because its class may be frozen.
    BaseException.__setattr__(exc, REMOTE_TRACEBACK_ATTR, traceback)
    return exc


def _read_inert(body: bytes, why: BaseException) -> Outcome:
    """Find out which call an undecodable reply ends, and what can be said about it."""
    inert: object = {}
    try:
        inert = loads_inert(body)
        reply = check_reply(inert)
    except Exception:
        req_id = find_req_id(body, inert)
        if req_id is None:
            raise SnakeMQBrokenMessage(f"a reply without an id: {text_of(why)}") from why
        text = f"the reply cannot be decoded here: {text_of(why)}"
        return req_id, None, RemoteError(type_name(why), text)
    if reply["ok"]:
        name = why.type_name if isinstance(why, UnregisteredClass) else type_name(why)
        error = RemoteError(name, f"the result cannot be decoded here: {text_of(why)}")
    else:
        exc = reply["exception"]
        args = exc.args if isinstance(exc, StandIn) else ()
        name = _text(reply, "exception_type") or getattr(exc, "type_name", "") or type_name(why)
        message = _text(reply, "exception_message") or text_of_args(args)
        error = RemoteError(name, message, _text(reply, "exception_format"))
    return reply["req_id"], None, error


def _text(reply: Reply, key: str) -> str:
    value = reply.get(key)
    return value if isinstance(value, str) else ""
