"""Turns the outcome of a method into a reply."""

from __future__ import annotations

import traceback
from collections.abc import Coroutine

from .._errors import Error, NoInstanceError, UnregisteredClass
from .._pickling._pickler import Pickler, dumps_of, dumps_unchecked_of, makes_otherwise
from .._protocol import REPLY_PREFIX, Reply, is_of_another_call, kills_16, text_of, type_name

MAX_TRACEBACK = 100_000
"""The most characters of a traceback that are sent. It repeats the text of its exception."""


class ReplyWriter:
    """Encodes replies so that a client of any version can decode them."""

    def __init__(self, pickler: Pickler) -> None:
        self._pickler = pickler
        self._dumps = dumps_of(pickler)
        # For replies that hold only text, and for exceptions that were checked already or that only
        # clients may know.
        self._dumps_unchecked = dumps_unchecked_of(pickler)

    def result(self, req_id: bytes, value: object) -> bytes:
        """Return the reply with a result. Raises :exc:`Error` if the result cannot be pickled.

        A :class:`SafePickler` refuses all that it would not read itself: a client of 1.6 dies of a
        class that it lacks.
        """
        try:
            data = self._dumps({"req_id": req_id, "ok": True, "return": value})
        except UnregisteredClass as exc:
            raise Error(f"the result cannot be sent: {exc}") from exc
        except Exception as exc:
            if isinstance(value, Coroutine):
                value.close()  # or Python warns about it some time later
            raise Error(f"the result cannot be pickled: {type_name(exc)}: {text_of(exc)}") from exc
        if kills_16(data):
            raise Error("the result holds an object of snakemq itself, which not every peer knows")
        return REPLY_PREFIX + data

    def failure(self, req_id: bytes, exc: BaseException) -> bytes:
        """Return the reply with an exception, its traceback, and a readable name and text."""
        name, text = type_name(exc), text_of(exc)
        reply: Reply = {
            "req_id": req_id,
            "ok": False,
            "exception": exc,
            "exception_format": _traceback(exc),
            "exception_type": name,
            "exception_message": text,
        }
        pickled = self._pickle(exc)
        if pickled is None or not self._everybody_knows(exc, pickled):
            reply["exception"] = Error(f"{name}: {text}" if text else name)
            if pickled is not None:
                reply["exception_pickle"] = pickled
        try:
            return REPLY_PREFIX + self._dumps_unchecked(reply)
        except Exception:  # although it could be pickled a moment ago
            return self.error(req_id, f"{name}: {text}")

    def hidden_failure(self, req_id: bytes) -> bytes:
        """Return the reply for an exception whose details are kept from the client."""
        return self.error(req_id, "remote call failed")

    def error(self, req_id: bytes, text: str) -> bytes:
        """Return the reply with an :exc:`Error` of the server itself."""
        return REPLY_PREFIX + self._dumps_unchecked(_error(req_id, text))

    def busy(self, req_id: bytes, text: str = "server busy, not executed") -> bytes:
        """Return the reply to a request that the server refuses because of its load.

        Clients that know :exc:`ServerBusy` raise that; those of 1.6 and 2.0.0 raise :exc:`Error`.
        """
        reply = _error(req_id, text)
        reply["busy"] = True
        return REPLY_PREFIX + self._dumps_unchecked(reply)

    def not_allowed(self, req_id: bytes, target: str) -> bytes:
        """Return the reply to a call that the peer may not make, although it may make others.

        Clients that know :exc:`NotAllowed` raise that; older ones raise :exc:`Error`.
        """
        reply = _error(req_id, f"not allowed: {target}")
        reply["denied"] = True
        return REPLY_PREFIX + self._dumps_unchecked(reply)

    def no_instance(self, req_id: bytes, name: str) -> bytes:
        """Return the reply to a call of an object that is not there, or not for this peer.

        It has no traceback, which would tell the two apart.
        """
        reply = _error(req_id, "")
        reply["exception"] = NoInstanceError(name)
        return REPLY_PREFIX + self._dumps_unchecked(reply)

    def _pickle(self, exc: BaseException) -> bytes | None:
        if not isinstance(exc, Exception):
            return None  # a client of 1.6 would raise it: SystemExit, for example
        if is_of_another_call(exc):
            return None  # and would mistake it for the outcome of its own call
        try:
            return self._dumps_unchecked(exc)
        except Exception:
            return None

    def _everybody_knows(self, exc: BaseException, pickled: bytes) -> bool:
        """Can clients of every version decode this exception?

        A client of 1.6 dies of what it cannot decode: an unknown class, or one of the many
        exceptions whose ``__init__`` does not take its own ``args``. Both sides have agreed on what
        our pickler can read, because its classes are registered.
        """
        if makes_otherwise(self._pickler, type(exc)):
            return False
        try:
            return type(self._pickler.loads(pickled)) is type(exc) and not kills_16(pickled)
        except (Exception, SystemExit):
            return False


def _error(req_id: bytes, text: str) -> Reply:
    return {"req_id": req_id, "ok": False, "exception": Error(text), "exception_format": ""}


def _traceback(exc: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(exc))
    except Exception as failure:  # of a __str__, for example
        return f"<no traceback: {type_name(failure)}>"
    if len(text) <= MAX_TRACEBACK:
        return text
    return f"{text[: MAX_TRACEBACK // 2]}\n...\n{text[-MAX_TRACEBACK // 2 :]}"
