"""How the outcome of a method becomes a reply."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any

from ._errors import Error
from ._pickler import Pickler, SafePickler, dumps_of
from ._protocol import REPLY_PREFIX, Reply, kills_16, text_of, type_name


class ReplyWriter:
    """Encodes replies so that the client, whichever version it is, can decode them."""

    def __init__(self, pickler: Pickler) -> None:
        self._dumps = dumps_of(pickler)
        # What we wrote ourselves can be read without suspicion.
        self._loads: Callable[[bytes], Any] = (
            pickle.loads if isinstance(pickler, SafePickler) else pickler.loads
        )

    def result(self, req_id: bytes, value: object) -> bytes:
        """The reply with a result. Raises :exc:`Error` if it cannot be pickled."""
        try:
            data = self._dumps({"ok": True, "return": value, "req_id": req_id})
        except Exception as exc:
            raise Error(f"the result cannot be pickled: {type_name(exc)}: {text_of(exc)}") from exc
        if kills_16(data):
            raise Error("the result holds an object of snakemq itself, which not every peer knows")
        return REPLY_PREFIX + data

    def failure(self, req_id: bytes, exc: BaseException) -> bytes:
        """The reply with an exception, its traceback, and its name and text for the reader."""
        name, text = type_name(exc), text_of(exc)
        reply: Reply = {
            "req_id": req_id,
            "ok": False,
            "exception": exc if self._travels(exc) else Error(f"{name}: {text}" if text else name),
            "exception_format": _traceback(exc),
            "exception_type": name,
            "exception_message": text,
        }
        return REPLY_PREFIX + self._dumps(reply)

    def error(self, req_id: bytes, text: str) -> bytes:
        """The reply with an :exc:`Error` of the server itself."""
        reply: Reply = {
            "req_id": req_id,
            "ok": False,
            "exception": Error(text),
            "exception_format": "",
        }
        return REPLY_PREFIX + self._dumps(reply)

    def _travels(self, exc: BaseException) -> bool:
        if not isinstance(exc, Exception):
            return False  # a client of 1.6 would raise it: SystemExit, for example
        try:
            data = self._dumps(exc)
            # Many exceptions with an __init__ of their own can be written but not read.
            return not kills_16(data) and type(self._loads(data)) is type(exc)
        except Exception:
            return False


def _traceback(exc: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(exc))
    except Exception as failure:  # of a __str__, for example
        return f"<no traceback: {type_name(failure)}>"
